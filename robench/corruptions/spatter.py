"""Spatter of water or mud, an extra corruption of Hendrycks & Dietterich (2019).

Water needs four operations of OpenCV, written here from their definitions for whole batches: Canny's edges, the
chamfer distance of Borgefors (1986) with a 5 x 5 mask, the equalised histogram, the 3 x 3 box blur.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from robench.corruptions.filters import LEVELS, correlate, smooth
from robench.numerics.randomness import ExampleRandom
from robench.specs.corruption import Constants

WATER, MUD = (175, 238, 238), (63, 42, 20)
"""Colours of the two liquids, RGB."""
FARTHEST = 20.0
"""Distance from an edge in pixels beyond which nothing changes."""
LOW, HIGH = 50, 150
"""Canny's thresholds of the gradient, |dx| + |dy|."""
BOX = np.full((3, 3), 1 / 9)
RELIEF = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], dtype=float)
STEPS = {(0, 1): 1.0, (1, 0): 1.0, (1, 1): 1.4, (1, -1): 1.4} | dict.fromkeys(
    ((1, 2), (1, -2), (2, 1), (2, -1)), 2.1969
)
"""Lengths of the moves of the chamfer distance; each move has an opposite."""


def spatter(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Add drops where normal numbers of mean c0 and deviation c1, smoothed with sigma c2, reach c3.

    Mud (c5 = 1) covers: (1 - m) x + m colour, where m is the drops smoothed with sigma c4, zero below 0.8.
    Water adds a relief of the drops in its colour, at most c4.
    """
    liquid = c[0] + c[1] * random.normal((1, *x.shape[-2:]), 0, "liquid")
    liquid = smooth(liquid, c[2])
    if c[5]:
        cover = smooth((liquid > c[3]).to(x.dtype), c[4])
        cover = torch.where(cover < 0.8, 0.0, cover)
        return x * (1 - cover) + cover * _colour(MUD, x)
    levels = (torch.where(liquid < c[3], 0.0, liquid) * LEVELS).floor().remainder(LEVELS + 1)
    height = levels * _relief(levels)
    highest = height.amax((1, 2, 3), keepdim=True).clamp(min=1)
    return x + height / highest * c[4] * _colour(WATER, x)


def _colour(rgb: tuple[int, int, int], x: Tensor) -> Tensor:
    return torch.tensor(rgb, dtype=x.dtype, device=x.device)[:, None, None] / LEVELS


def _relief(levels: Tensor) -> Tensor:
    """Return light and shade by the distance from the edges of the drops, in levels, (N, 1, H, W)."""
    distance = correlate(_distance(_edges(levels)), BOX)
    even = _equalised((distance + 1e-5).floor())
    lit = correlate(even, RELIEF).clamp(0, LEVELS)
    return (correlate(lit, BOX) + 0.5).floor()


def _edges(levels: Tensor) -> Tensor:
    """Find Canny's edges, bool (N, 1, H, W): thinned across the gradient, kept above HIGH or if connected to those."""
    padded = F.pad(levels, (1, 1, 1, 1), mode="replicate")
    rows = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
    columns = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    dx, dy = rows[..., 2:] - rows[..., :-2], columns[..., 2:, :] - columns[..., :-2, :]
    steep = dx.abs() + dy.abs()
    around = F.pad(steep, (1, 1, 1, 1))
    height, width = levels.shape[-2:]

    def near(down: int, right: int) -> Tensor:
        return around[..., 1 + down : 1 + down + height, 1 + right : 1 + right + width]

    tangent = np.tan(np.pi / 8)
    flat, upright = dy.abs() < tangent * dx.abs(), dy.abs() > (tangent + 2) * dx.abs()
    falling = (dx < 0) == (dy < 0)
    diagonal = torch.where(
        falling,
        (steep > near(-1, -1)) & (steep > near(1, 1)),
        (steep > near(-1, 1)) & (steep > near(1, -1)),
    )
    across = torch.where(upright, (steep > near(-1, 0)) & (steep >= near(1, 0)), diagonal)
    thin = torch.where(flat, (steep > near(0, -1)) & (steep >= near(0, 1)), across) & (steep > LOW)
    edges = thin & (steep > HIGH)
    while True:
        grown = thin & (F.max_pool2d(edges.float(), 3, 1, 1) > 0)
        if torch.equal(grown, edges):
            return edges
        edges = grown


def _distance(edges: Tensor) -> Tensor:
    """Return the chamfer distance to the nearest edge, at most FARTHEST, (N, 1, H, W)."""
    distance = torch.where(edges, 0.0, FARTHEST)
    height, width = distance.shape[-2:]
    while True:
        padded = F.pad(distance, (2, 2, 2, 2), value=FARTHEST)
        nearer = distance
        for (down, right), length in STEPS.items():
            for way in (1, -1):
                top, left = 2 + way * down, 2 + way * right
                nearer = torch.minimum(nearer, padded[..., top : top + height, left : left + width] + length)
        if torch.equal(nearer, distance):
            return distance
        distance = nearer


def _equalised(levels: Tensor) -> Tensor:
    """Spread the histogram of each image over all levels; an image of one level stays."""
    flat = levels.flatten(1).long()
    counts = torch.zeros(len(flat), LEVELS + 1, device=levels.device).scatter_add_(
        1, flat, torch.ones_like(flat).float()
    )
    lowest = counts.gather(1, flat.amin(1, keepdim=True))
    others = flat.shape[1] - lowest
    spread = ((counts.cumsum(1) - lowest) * (LEVELS / others.clamp(min=1))).round()
    return torch.where(others > 0, spread.gather(1, flat), flat).reshape(levels.shape).to(levels.dtype)
