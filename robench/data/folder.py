"""A folder of images: one subfolder per class, in alphabetical order or by class names."""

from dataclasses import dataclass
from pathlib import Path

from robench.data.about import About
from robench.data.annotated import ANNOTATIONS, IMAGES, annotated
from robench.data.corrupted import named
from robench.data.decode import Encoded
from robench.data.decoded_split import split_of
from robench.data.image_files import LeftOut, folders, image_files
from robench.data.reading import AS_IT_IS, Reading
from robench.data.split import Split, first_rows
from robench.errors import InputError

PARTS = {"train": ("train",), "test": ("test", "val", "valid", "validation")}
"""Names that the folder of a part may have; if the test part has none, the folder itself is the test part."""

NO_IMAGES = "holds no images: put them in one subfolder per class, <class>/<name>.jpg."


@dataclass(frozen=True)
class Listing:
    """Image files of a part: their paths, the number of each one's class, and the names of all classes."""

    paths: list[str]
    numbers: list[int]
    classes: list[str]


def load(name: str, folder: Path, part: str = "test", limit: int | None = None, reading: Reading = AS_IT_IS) -> Split:
    """Load the images of a part in the order of class folders and paths; ids count from 0.

    Args:
        name: of the dataset.
        folder: holds train/ and test/ (or val/), or the class folders of the test part.
        part: 'train' or 'test'.
        limit: number of images to choose and decode; None for all.
        reading: sizes and class names.

    Raises:
        InputError: there are no images or labels, a class has no image or no name, or an image is damaged or of
            another size.
    """
    left = LeftOut()
    where, notes = root(folder, part)
    found = listing(where, left)
    if not found.paths:
        raise InputError(f"'{where}' {NO_IMAGES}")
    by_name = reading.labels(found.classes, str(where))
    if by_name is None:
        _require_full(where, found)
        notes.append(f"labels by the alphabetical order of {len(found.classes)} classes{_surprising(found.classes)}")
    about = About(
        source=f"folder:{where}",
        total=len(found.paths),
        by_order=len(found.classes) if by_name is None else None,
        classes=tuple(found.classes) if by_name is None else (),
        notes=(*notes, *([reading.how] if reading.how else []), *left.notes()),
    )
    labels = found.numbers if by_name is None else [by_name[number] for number in found.numbers]
    rows = first_rows("", labels, limit)
    images = Encoded.files([found.paths[row] for row in rows])
    return split_of(name, images, [labels[row] for row in rows], reading, about, rows).noted(len(labels))


def listing(where: Path, left: LeftOut) -> Listing:
    """List the images of a part, class by class; where a file of annotations lies, by this file."""
    if (where / ANNOTATIONS).is_file():
        annotated_paths, found, classes = annotated(where, left)
        number = {name: at for at, name in enumerate(classes)}
        return Listing(annotated_paths, [number[name] for name in found], classes)
    classes = folders(where, left)
    if classes and {*classes} <= {*PARTS["train"], *PARTS["test"]}:
        raise InputError(f"'{where}' has no test part, only {named(classes)}: name one of them to evaluate its images.")
    paths: list[str] = []
    numbers: list[int] = []
    for label, name in enumerate(classes):
        paths += image_files(where / name, left)
        numbers += [label] * (len(paths) - len(numbers))
    return Listing(paths, numbers, classes)


def root(folder: Path, part: str) -> tuple[Path, list[str]]:
    """Find the folder of a part that has labels, and say which folders were left out.

    Raises:
        InputError: there is none.
    """
    there = [folder / name for name in PARTS[part] if (folder / name).is_dir()]
    if not there and part == "test" and folder.is_dir():
        there = [folder]
    if not there:
        raise InputError(f"'{folder}' has no folder {PARTS[part][0]}: put its classes there, or name another folder.")
    for at, where in enumerate(there):
        if _has_labels(where):
            return where, [f"left out: {each}, whose images have no labels" for each in there[:at]]
    if not any(image_files(where, LeftOut()) for where in there):
        raise InputError(f"'{there[0]}' {NO_IMAGES}")
    raise InputError(
        f"'{there[0]}' holds images without labels: put them in one subfolder per class, or name a part with labels."
    )


def class_names(folder: Path) -> list[str]:
    """Return the names of the classes of the test part in their alphabetical order.

    Raises:
        InputError: there is no such folder.
    """
    return listing(root(folder, "test")[0], LeftOut()).classes


def classes(folder: Path) -> list[str]:
    """Return the names of the class folders in alphabetical order."""
    return folders(folder, LeftOut())


def _has_labels(where: Path) -> bool:
    """Return whether images lie in class folders, or beside a file of annotations."""
    return (where / ANNOTATIONS).is_file() or classes(where) not in ([], [IMAGES])


def _require_full(where: Path, found: Listing) -> None:
    """Check that every class has images, if labels follow from the order of the classes."""
    numbers = set(found.numbers)
    empty = [name for at, name in enumerate(found.classes) if at not in numbers]
    if empty and not (where / ANNOTATIONS).is_file():
        raise InputError(
            f"'{where}' has class folders without images, {named(empty)}: take them out, or give the class names in "
            "the order of the labels with --classes FILE."
        )


def _surprising(names: list[str]) -> str:
    """Warn where numbers as names are not in the order of their values."""
    if all(name.isdecimal() for name in names) and [int(name) for name in names] != sorted(map(int, names)):
        return f", {', '.join(names[:3])}, ..., not of their values"
    return ""
