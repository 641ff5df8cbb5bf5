"""Points on a grid around their clean images, so that a point takes about a bit per pixel in a file.

Most points that break a network lie at the corners of the ball: clean +- eps, clipped to [0, 1]. A point on a grid is
`clip(clean + offsets * step, 0, 1)` in float64, rounded to float32, which every machine computes alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from robench.store.rows import Column

LEVELS = (1, 7, 127, 32767)
"""Largest offset of each grid, coarsest first."""
EXACT = 0
"""Stands for the largest offset of a point that is kept as float32."""
BYTE = 127


@dataclass(frozen=True)
class Point:
    """A point that breaks a network.

    Attributes:
        levels: the largest possible offset; `EXACT` if the values are the point itself.
        step: the distance of neighbours on the grid; 0 if the values are the point itself.
        values: offsets from the clean image, int8 or int16 (D,); or the point, float32 (D,).
        predicted: the class that the network gave it.
    """

    levels: int
    step: float
    values: Column
    predicted: int = -1

    def around(self, clean: Column) -> Column:
        """Return the point, float32 like `clean` (C, H, W)."""
        values = self.values.reshape(clean.shape)
        if self.levels == EXACT:
            return values.astype(np.float32)
        moved: Column = clean.astype(np.float64) + values.astype(np.float64) * self.step
        return moved.clip(0.0, 1.0).astype(np.float32)


def grids(clean: Column, point: Column, norm: str, eps: float) -> Iterator[Point]:
    """Yield a point on finer and finer grids, then exactly; whether a grid's point breaks a network is not known.

    Args:
        clean, point: float32 (C, H, W).
        norm, eps: the ball around `clean` that holds the point.
    """
    delta = point.astype(np.float64) - clean.astype(np.float64)
    reach = eps if norm == "linf" else float(np.abs(delta).max())
    for levels in LEVELS if reach > 0 else ():
        step = reach / levels
        if norm == "linf":
            offsets = np.rint(delta / step)
            # Where [0, 1] cut the step off, the whole step leads to the same value.
            offsets = np.where(point >= 1, levels, np.where(point <= 0, -levels, offsets))
        else:
            offsets = np.trunc(delta / step)  # towards the clean image, so that the point stays in the ball
        kind = np.int8 if levels <= BYTE else np.int16
        found = Point(levels, step, offsets.clip(-levels, levels).astype(kind).ravel())
        still = found.around(clean) == clean
        yield Point(levels, step, np.where(still.ravel(), 0, found.values).astype(kind))
    yield Point(EXACT, 0.0, point.astype(np.float32).ravel())
