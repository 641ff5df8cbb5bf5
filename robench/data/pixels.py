"""Images kept as bytes, on disk if they are many, and looked at as floats."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 256
"""Images that are turned into floats together where all are needed once."""

Rows = slice | Tensor | NDArray[Any]
"""Which images: a slice, row numbers int64 (M,), or a mask bool (N,)."""


class Pixels:
    """Images in [0, 1] that look like a float32 tensor (N, C, H, W), of which only what is asked for is in memory.

    Args:
        raw: bytes (N, H, W, C), an array or a memory map.
        rows: which of them, all by default, int64 (M,).
    """

    dtype = torch.float32

    def __init__(self, raw: NDArray[np.uint8], rows: NDArray[np.int64] | None = None) -> None:
        self.raw = raw
        self.rows = np.arange(len(raw)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        """(N, C, H, W)."""
        height, width, channels = self.raw.shape[1:]
        return torch.Size((len(self.rows), channels, height, width))

    def __getitem__(self, rows: Rows | int) -> Tensor:
        """Some images as floats, (M, C, H, W), or one, (C, H, W)."""
        if isinstance(rows, int):
            return self[rows : rows + 1][0]
        picked = self.raw[self._places(rows)]
        return torch.from_numpy(np.ascontiguousarray(picked.transpose(0, 3, 1, 2))).float().div_(255)

    def take(self, rows: Rows) -> "Pixels":
        """Some images, still as bytes."""
        return Pixels(self.raw, self._places(rows))

    def blocks(self) -> Iterator[Tensor]:
        """All images as floats, a few at a time."""
        for start in range(0, len(self), BLOCK):
            yield self[start : start + BLOCK]

    def _places(self, rows: Rows) -> NDArray[np.int64]:
        return self.rows[rows.cpu().numpy() if isinstance(rows, Tensor) else rows]


Images = Tensor | Pixels
"""Images in [0, 1], (N, C, H, W), float32 or as bytes."""


def take(images: Images, rows: Rows) -> Images:
    """Some images, kept as they are."""
    return images.take(rows) if isinstance(images, Pixels) else images[rows]
