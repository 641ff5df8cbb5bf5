"""Masks as the user gives them: arrays and files. The import does not load torch."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from robench.data.colours import as_rgb
from robench.errors import InputError

KINDS = (".npy", ".npz", ".png")
"""Endings of the files that `--mask` reads."""
NAME, IDS = "mask", "ids"
"""Names of the arrays in an .npz file."""
WHITE = 255


@dataclass(frozen=True)
class MaskValues:
    """A mask that has not been compared with the images yet.

    Attributes:
        values: the values that may change, bool, of any shape.
        ids: ids of the examples, if the mask has a row for each, int64; None for the order of the dataset.
    """

    values: NDArray[np.bool_]
    ids: NDArray[np.int64] | None = None


def read_mask(path: Path, said: str = "--mask") -> MaskValues:
    """Read the file of a mask: .npy, .npz with `mask` and perhaps `ids`, or a black-and-white .png.

    Args:
        path: the file.
        said: the option that names it, for messages.

    Raises:
        InputError: the file is missing, damaged or of another kind, or holds other numbers than 0 and 1 (or 255).
    """
    where = f"{said} '{path}'"
    if path.suffix.lower() not in KINDS:
        raise InputError(f"{where} is no {', '.join(KINDS[:-1])} or {KINDS[-1]} file: save the mask as one of these.")
    try:
        if path.suffix.lower() == ".png":
            return MaskValues(_image(path, where))
        with path.open("rb") as stream:
            found = np.load(stream, allow_pickle=False)
            if not isinstance(found, np.lib.npyio.NpzFile):
                return MaskValues(exact(found, where))
            names = found.files
            name = NAME if NAME in names else names[0] if len(names) == 1 else ""
            if not name:
                raise InputError(f"{where} holds {', '.join(names) or 'nothing'}: name the mask's array '{NAME}'.")
            return MaskValues(exact(found[name], where), _ids(found[IDS], where) if IDS in names else None)
    except InputError:
        raise
    except (OSError, ValueError, EOFError, SyntaxError, zipfile.BadZipFile, Image.DecompressionBombError) as error:
        raise InputError(f"{where} cannot be read ({error}): save it again.") from error


def exact(values: Any, where: str, largest: int = 1) -> NDArray[np.bool_]:
    """Return an array of bools, or of numbers that are exactly 0 or `largest`, as bools.

    Raises:
        InputError: other values.
    """
    try:
        array = np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where} is no array ({error}): give bools, or numbers 0 and 1.") from error
    if array.dtype.kind == "b":
        return array
    others = array[(array != 0) & (array != largest)] if array.dtype.kind in "iuf" else None
    if others is None or others.size:
        found = f"{array.dtype} values" if others is None else f"the value {others[0].item():g}"
        raise InputError(f"{where} holds {found}, expected 0 and {largest} only: {largest} marks what may change.")
    return np.asarray(array == largest)


def _image(path: Path, where: str) -> NDArray[np.bool_]:
    with Image.open(path) as opened:
        if opened.has_transparency_data:
            raise InputError(f"{where} has transparent pixels: save it in black and white alone.")
        try:
            pixels = np.asarray(as_rgb(opened, upright=True))
        except InputError as error:
            raise InputError(f"{where} {error}") from error
    if (pixels != pixels[..., :1]).any():
        raise InputError(f"{where} has colours: save it in black and white, white where pixels may change.")
    return exact(pixels[..., 0], where, WHITE)


def _ids(values: NDArray[Any], where: str) -> NDArray[np.int64]:
    if values.ndim != 1 or values.dtype.kind not in "iu" or len(np.unique(values)) != len(values):
        raise InputError(f"{where} holds '{IDS}' that are no different whole numbers (N,): give one for each mask.")
    return values.astype(np.int64)
