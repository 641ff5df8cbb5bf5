"""User data in a NumPy archive: arrays `x` and `y`, optionally `ids`."""

import zipfile
from pathlib import Path

import numpy as np

from robench.data.arrays import checked
from robench.data.split import Split
from robench.errors import InputError

NEEDED = ("x", "y")


def load(name: str, path: Path, part: str = "test", limit: int | None = None) -> Split:
    """Load the examples of an .npz file.

    Args:
        name: of the dataset.
        path: holds `x`, uint8 or floats in [0, 1], (N, C, H, W) or (N, H, W, C), `y` (N,) and optionally `ids` (N,).
        part: 'test'; the file has no training part.
        limit: number of examples from the beginning; None for all.

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
            missing = [key for key in NEEDED if key not in archive.files]
            if missing:
                found = ", ".join(archive.files) or "nothing"
                raise InputError(f"'{path}' has no '{missing[0]}', only {found}: save x and y by these names.")
            x, y, ids = archive["x"], archive["y"], archive["ids"] if "ids" in archive.files else None
    except InputError:
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"'{path}' cannot be read ({error}): save it again with numpy.savez.") from error
    return checked(name, x, y, ids).limit(limit)
