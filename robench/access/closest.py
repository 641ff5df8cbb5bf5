"""The point of each example that came closest to a success."""

import torch
from torch import Tensor


class Closest:
    """Remember for each example of a chunk the point of smallest margin inside the ball.

    Attributes:
        margin: smallest margin so far, float32 (N,); infinite before the first point.
        points: the points, (N, C, H, W); the clean examples before the first point.
        broken: mask of the examples that are broken already: only closer points are news about them, bool (N,).
    """

    def __init__(self, clean: Tensor) -> None:
        self.points = clean.clone()
        self.margin = torch.full_like(clean[:, 0, 0, 0], float("inf"))
        self.broken = torch.zeros_like(self.margin, dtype=torch.bool)

    def is_news(self, rows: Tensor, margins: Tensor) -> Tensor:
        """Tell which successes with these margins (M,) are worth a ruling, bool (M,)."""
        return ~self.broken[rows] | (margins < self.margin[rows])

    def see(self, rows: Tensor, margins: Tensor, x: Tensor) -> None:
        """Look at points x (M, C, H, W) of some examples (M,) with their margins (M,); NaN is no margin."""
        before = self.margin.clone()
        self.margin.scatter_reduce_(0, rows, margins.nan_to_num(float("inf"), posinf=float("inf")), "amin")
        better = (margins == self.margin[rows]) & (margins < before[rows])
        self.points[rows[better]] = x[better].detach()
