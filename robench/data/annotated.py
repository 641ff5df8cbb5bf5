"""A part whose labels stand in a file beside its images, as in Tiny-ImageNet's `val/`."""

from pathlib import Path

from robench.data.image_files import LeftOut, hidden, image_files
from robench.errors import InputError

ANNOTATIONS = "val_annotations.txt"
"""Lines of image name, class and a box, divided by tabs."""
IMAGES = "images"
"""The folder of the images, beside the annotations."""
NAMES = "wnids.txt"
"""All classes, one per line, in the folder around the part."""


def annotated(where: Path, left: LeftOut) -> tuple[list[str], list[str], list[str]]:
    """Return the paths of the images, the class of each, and all classes in alphabetical order.

    Raises:
        InputError: a line cannot be read, or an image has no line.
    """
    file = where / ANNOTATIONS
    try:
        lines = [line.split("\t") for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"'{file}' cannot be read ({error}): fetch it again.") from error
    if bad := [at for at, line in enumerate(lines, 1) if len(line) < 2]:
        raise InputError(f"'{file}', line {bad[0]}: expected image name, tab, class.")
    classes = {line[0]: line[1].strip() for line in lines}
    paths = image_files(where / IMAGES if (where / IMAGES).is_dir() else where, left)
    found = [classes.get(Path(path).name, "") for path in paths]
    if "" in found:
        raise InputError(f"image '{paths[found.index('')]}' has no line in '{file}': fetch both again.")
    if missing := len(classes) - len(paths):
        raise InputError(f"'{file}' names {missing} images that are not there: unpack the archive again.")
    return paths, found, _all_classes(where, found)


def _all_classes(where: Path, found: list[str]) -> list[str]:
    """Return all classes, sorted: of the training part, or of the list, or those that were found."""
    train, names = where.parent / "train", where.parent / NAMES
    if train.is_dir():
        known = {each.name for each in train.iterdir() if each.is_dir() and not hidden(each.name)}
    else:
        known = set(names.read_text(encoding="utf-8").split()) if names.is_file() else set()
    return sorted(known) if known >= set(found) else sorted(set(found))
