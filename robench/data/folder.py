"""A folder of images: one subfolder per class, in alphabetical order."""

import os
from pathlib import Path

from robench.data.decode import Encoded, Prepare
from robench.data.decoded_split import split_of
from robench.data.split import Split
from robench.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
PARTS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
"""Names that the folder of a part may have; if the test part has none, the folder itself is the test part."""


def load(
    name: str,
    folder: Path,
    part: str = "test",
    limit: int | None = None,
    prepare: Prepare | None = None,
    how: str = "",
) -> Split:
    """Load the images of a part in the order of class folders and file names; ids count from 0.

    Args:
        name: of the dataset.
        folder: holds train/ and test/ (or val/), or the class folders of the test part.
        part: 'train' or 'test'.
        limit: number of images to decode; None for all.
        prepare: applied to each decoded image, e.g. a crop.
        how: a name of `prepare` for the cache.

    Raises:
        InputError: there are no images, or one is damaged or of another size.
    """
    paths, labels = files(folder, part)
    if not paths:
        raise InputError(
            f"'{root(folder, part)}' holds no images: put them in one subfolder per class, <class>/<name>.jpg."
        )
    return split_of(name, Encoded.files(paths[:limit]), labels[:limit], prepare, how)


def files(folder: Path, part: str) -> tuple[list[str], list[int]]:
    """Return the paths of the image files of a part and their class numbers; text, as there may be millions."""
    where = root(folder, part)
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes(where)):
        with os.scandir(where / name) as entries:
            paths += sorted(entry.path for entry in entries if entry.name.lower().endswith(SUFFIXES))
        labels += [label] * (len(paths) - len(labels))
    return paths, labels


def root(folder: Path, part: str) -> Path:
    """Find the folder of a part.

    Raises:
        InputError: there is none.
    """
    for name in PARTS[part]:
        if (folder / name).is_dir():
            return folder / name
    if part == "test" and folder.is_dir():
        return folder
    raise InputError(f"'{folder}' has no folder {PARTS[part][0]}: put its classes there, or name another folder.")


def class_names(folder: Path) -> list[str]:
    """Return the names of the classes of the test part in the order of labels.

    Raises:
        InputError: there is no such folder.
    """
    return classes(root(folder, "test"))


def classes(folder: Path) -> list[str]:
    """Return the names of the class folders in the order of labels."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
