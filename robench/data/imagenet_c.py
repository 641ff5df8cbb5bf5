"""ImageNet-C (Hendrycks and Dietterich, ICLR 2019; Zenodo, record 2235448): corruption/severity/class/*.JPEG.

The images are the validation images of ImageNet, already 224x224, with the same file names.
"""

from pathlib import Path
from typing import Any

from robench.data import imagenet
from robench.data.corrupted_folder import FolderSet, Layout, find_folder
from robench.errors import InputError

CLASSES, PER_CLASS, SIZE = 1000, 50, 224


def find(data_dir: Path, classes: int = CLASSES, per_class: int = PER_CLASS, size: int = SIZE) -> FolderSet:
    """Find the folder ImageNet-C below the data folder, else corruptions in the data folder itself.

    Args:
        data_dir: folder to search; the clean images may be in val/ there.
        classes: number of classes, if the clean images are not there.
        per_class: number of images per class, if the clean images are not there.
        size: pixels of an image's side.

    Raises:
        DatasetNotFound: there is no corruption.
    """
    layout = Layout(
        "imagenet-c", "ImageNet-C", "Zenodo, record 2235448", classes, per_class, size,
        folders=("imagenet-c", ""), clean=clean,
    )  # fmt: skip
    return find_folder(layout, data_dir)


def clean(data_dir: Path) -> Any:
    """Return the folder of the validation images, or None if it is not there."""
    try:
        return imagenet.files("test", data_dir, augmented=False)
    except InputError:
        return None
