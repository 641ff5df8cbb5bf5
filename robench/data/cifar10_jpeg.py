"""CIFAR-10 re-encoded as JPEG: an image folder for use where the original is not available.

Its pixels differ slightly from the original's, so its numbers are never called `cifar10`.
"""

from pathlib import Path

from robench.data import folder
from robench.data.class_names import CIFAR10
from robench.data.split import Split
from robench.errors import InputError

FOLDER = "cifar10-jpeg"
CLASSES = list(CIFAR10)


def load(part: str, data_dir: Path) -> Split:
    """Load the 'train' or 'test' images in the order of classes and file names.

    Raises:
        InputError: the folder is not there, or holds other classes.
    """
    for place in (data_dir / FOLDER, data_dir):
        where = place / part
        if where.is_dir() and folder.classes(where) == CLASSES:
            return folder.load(FOLDER, place, part)
    raise InputError(
        f"{FOLDER} is not in '{data_dir}': it needs {FOLDER}/{part}/<class>/*.jpg there for the ten classes "
        f"{CLASSES[0]} to {CLASSES[-1]}, or name its folder with --data-dir."
    )
