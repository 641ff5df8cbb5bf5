"""Clean images of evaluations with stored points, so that the points can be judged and shown without the user's data.

results/raw/<dataset>/examples/<digest of the examples' identity>.safetensors
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from robench.errors import InputError
from robench.paths import atomic_path
from robench.specs import digest
from robench.store.header import SHORT
from robench.store.rows import Column

FOLDER = "examples"
MEND = "delete it and repeat the evaluation with --save-adversarial, which computes nothing again"
SHA256 = "sha256"
DAMAGE = (SafetensorError, OSError, KeyError, ValueError, TypeError)
"""The errors that safetensors raises for damaged or unreadable files."""


@dataclass(frozen=True)
class Examples:
    """Examples of one evaluation.

    Attributes:
        x: images in [0, 1], float32 (N, C, H, W); or uint8, if these divided by 255 are exactly the images.
        y: labels, int64 (N,).
        ids: ids, int64 (N,).
    """

    x: Column
    y: Column
    ids: Column

    @property
    def sha256(self) -> str:
        """SHA-256 of the arrays, in hex."""
        total = hashlib.sha256(f"{self.x.dtype.str} {self.x.shape}".encode())
        for column in (self.x, self.y, self.ids):
            total.update(np.ascontiguousarray(column).data)
        return total.hexdigest()


def path_for(folder: Path, data: dict[str, Any]) -> Path:
    """Return the path of examples, from the folder of their dataset in results/raw and the identity in a header."""
    return folder / FOLDER / f"{digest(data)[:SHORT]}.safetensors"


def beside(record: Path, data: dict[str, Any]) -> Path:
    """Return the path of the examples of a raw record."""
    return path_for(record.parent.parent, data)


def as_bytes(images: Column) -> Column | None:
    """Return images, float32, as bytes, or None if division by 255 does not give exactly the images."""
    rounded = np.rint(images * np.float32(255)).astype(np.uint8)
    return rounded if np.array_equal(as_floats(rounded), images) else None


def as_floats(images: Column) -> Column:
    """Return images as float32 in [0, 1]."""
    return images.astype(np.float32) / np.float32(255) if images.dtype == np.uint8 else images.astype(np.float32)


def write_examples(path: Path, examples: Examples) -> None:
    """Write examples, whole or not at all."""
    tensors = {name: np.ascontiguousarray(column) for name, column in vars(examples).items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={SHA256: examples.sha256})


def read_examples(path: Path) -> Examples:
    """Read examples, and check that they are what was written.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            found = Examples(**{name: file.get_tensor(name) for name in ("x", "y", "ids")})
            intact = (file.metadata() or {}).get(SHA256) == found.sha256
    except DAMAGE as error:
        raise _damaged(path) from error
    if not intact:
        raise _damaged(path)
    return found


def read_images(path: Path, ids: Sequence[int]) -> Column:
    """Read the images with some ids, float32 (M, C, H, W), and no others; the caller checks what they are.

    Raises:
        InputError: the file is missing or damaged, or has no such example.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            places = {int(each): at for at, each in enumerate(file.get_tensor("ids"))}
            images = file.get_slice("x")
            return as_floats(np.concatenate([images[places[each] : places[each] + 1] for each in ids]))
    except DAMAGE as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> InputError:
    return InputError(f"the clean images in '{path}' are damaged or gone: {MEND}.")
