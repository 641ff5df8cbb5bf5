"""Images kept as bytes, on disk if they are many, and read as floats."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 256
"""Number of images that become floats at a time, where all are read one after another."""

Rows = slice | Tensor | NDArray[Any]
"""A choice of images: a slice, row numbers int64 (M,), or a mask bool (N,)."""


class Pixels:
    """Images in [0, 1] that look like a float32 tensor (N, C, H, W); only requested ones become floats in memory.

    Args:
        raw: bytes (N, H, W, C), an array or a memory map.
        rows: numbers of the images to use, int64 (M,); by default all.
    """

    dtype = torch.float32

    def __init__(self, raw: NDArray[np.uint8], rows: NDArray[np.int64] | None = None) -> None:
        self.raw = raw
        self.rows = np.arange(len(raw)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        """The shape (N, C, H, W)."""
        height, width, channels = self.raw.shape[1:]
        return torch.Size((len(self.rows), channels, height, width))

    def __getitem__(self, rows: Rows | int) -> Tensor:
        """Return some images as floats, (M, C, H, W), or one, (C, H, W)."""
        if isinstance(rows, int):
            return self[rows : rows + 1][0]
        picked = self.raw[self._places(rows)]
        return torch.from_numpy(np.ascontiguousarray(picked.transpose(0, 3, 1, 2))).float().div_(255)

    def take(self, rows: Rows) -> "Pixels":
        """Return some images, still as bytes."""
        return Pixels(self.raw, self._places(rows))

    def blocks(self) -> Iterator[Tensor]:
        """Yield all images as floats, a few at a time."""
        for start in range(0, len(self), BLOCK):
            yield self[start : start + BLOCK]

    def _places(self, rows: Rows) -> NDArray[np.int64]:
        return self.rows[rows.cpu().numpy() if isinstance(rows, Tensor) else rows]


Images = Tensor | Pixels
"""Images in [0, 1], (N, C, H, W), float32 or as bytes."""


def take(images: Images, rows: Rows) -> Images:
    """Return some images, as bytes or as floats like the given ones."""
    return images.take(rows) if isinstance(images, Pixels) else images[rows]
