"""Any folder of images: a subfolder a class, in alphabetical order."""

import os
from pathlib import Path

from robench.data.decode import Encoded, Prepare
from robench.data.decoded_split import split_of
from robench.data.split import Split
from robench.errors import InputError

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm", ".tif", ".tiff")
PARTS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
"""What the folder of a part may be called; without one the folder itself is the test part."""


def load(
    name: str,
    folder: Path,
    part: str = "test",
    limit: int | None = None,
    prepare: Prepare | None = None,
    how: str = "",
) -> Split:
    """The images of a part in the order of class folders and file names; ids are their places.

    Args:
        name: the dataset's.
        folder: holds train/ and test/ (or val/), or the classes of the test part themselves.
        part: 'train' or 'test'.
        limit: only the first so many are decoded.
        prepare: done to each image, a crop say.
        how: names `prepare` for the cache.

    Raises:
        InputError: there are no images, or one is damaged or of another size.
    """
    paths, labels = files(folder, part)
    if not paths:
        raise InputError(
            f"'{root(folder, part)}' holds no images: put them in a subfolder a class, <class>/<name>.jpg."
        )
    return split_of(name, Encoded.files(paths[:limit]), labels[:limit], prepare, how)


def files(folder: Path, part: str) -> tuple[list[str], list[int]]:
    """The image files of a part, plain text as there are many, and their class numbers."""
    where = root(folder, part)
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes(where)):
        with os.scandir(where / name) as entries:
            paths += sorted(entry.path for entry in entries if entry.name.lower().endswith(SUFFIXES))
        labels += [label] * (len(paths) - len(labels))
    return paths, labels


def root(folder: Path, part: str) -> Path:
    """The folder of a part.

    Raises:
        InputError: there is none.
    """
    for name in PARTS[part]:
        if (folder / name).is_dir():
            return folder / name
    if part == "test" and folder.is_dir():
        return folder
    raise InputError(f"'{folder}' has no folder {PARTS[part][0]}: put its classes there, or name another folder.")


def classes(folder: Path) -> list[str]:
    """The class folders in the order of labels."""
    return sorted(entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
