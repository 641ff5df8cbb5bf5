"""User data in a NumPy archive: images and labels under usual names, optionally `ids`."""

import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from robench.data.about import About
from robench.data.arrays import checked
from robench.data.reading import AS_IT_IS, Reading
from robench.data.split import Split
from robench.errors import InputError, reason

NAMES = (("x", "y"), ("x_test", "y_test"), ("test_images", "test_labels"), ("images", "labels"))
"""Names of images and labels: robench's, those of Keras, of MedMNIST, and common ones."""
PART = ("x_train", "y_train", "train_images", "train_labels", "val_images", "val_labels")
"""Names of other parts, which are left out."""


def load(name: str, path: Path, part: str = "test", limit: int | None = None, reading: Reading = AS_IT_IS) -> Split:
    """Load the examples of an .npz file.

    Args:
        name: of the dataset.
        path: holds `x`, uint8 or floats in [0, 1], (N, C, H, W), (N, H, W, C) or (N, H, W), `y` (N,) or (N, 1), and
            optionally `ids` (N,); or images and labels under other names of `NAMES`.
        part: 'test'; the file has no training part.
        limit: not used; an archive is read whole.
        reading: names classes for other kinds of data; an archive holds numbers.

    Raises:
        InputError: the file is damaged, or an array is missing or unsuitable.
    """
    if part != "test":
        raise InputError(f"'{path}' holds test examples only: train on a dataset with a train part.")
    try:
        with path.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"'{path}' holds one array: save two with numpy.savez(file, x=x, y=y).")
            image, label = _names(path, archive.files)
            x, y, ids = archive[image], archive[label], archive["ids"] if "ids" in archive.files else None
            unused = [each for each in archive.files if each not in (image, label, "ids")]
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"'{path}' cannot be read ({reason(error)}): save it again with numpy.savez.") from error
    split = checked(name, x, y, ids)
    notes = (f"left out: {', '.join(unused)}",) if unused else ()
    return replace(split, about=About(f"npz:{path}, {image} and {label}", len(split), notes=notes))


def _names(path: Path, found: list[str]) -> tuple[str, str]:
    """Return the names of images and labels.

    Raises:
        InputError: no pair of names fits, or several do.
    """
    pairs = [pair for pair in NAMES if {*pair} <= {*found}]
    if len(pairs) == 1:
        return pairs[0]
    held = ", ".join(found) or "nothing"
    if pairs:
        both = " and ".join("/".join(pair) for pair in pairs)
        raise InputError(f"'{path}' has {both}: which to evaluate is open; save one pair alone.")
    half = [(there, other) for a, b in NAMES for there, other in ((a, b), (b, a)) if there in found]
    lacking = half[0][1] if half else NAMES[0][0]
    mend = (
        "name the test part's arrays x and y" if any(each in PART for each in found) else "save x and y by these names"
    )
    raise InputError(f"'{path}' has no '{lacking}', only {held}: {mend}.")
