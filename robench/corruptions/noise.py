"""Noise: Gaussian, shot, impulse, speckle (Hendrycks & Dietterich 2019), independent for each value."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from robench.corruptions.filters import LEVELS
from robench.numerics.randomness import ExampleRandom
from robench.specs.corruption import Constants

SPAN = 8
"""Standard deviations above the mean that the table of a Poisson distribution covers."""
SLICES = 4096
"""Number of slices of [0, 1); nearly all hold a single count, which saves the search."""


def gaussian_noise(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Return x + c n, n standard normal."""
    return x + c[0] * random.normal(x.shape[1:], 0, "noise")


def speckle_noise(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Return x + c x n, n standard normal."""
    return x + c[0] * x * random.normal(x.shape[1:], 0, "noise")


def impulse_noise(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Set a share c of the values to 0 or 1, with equal chances."""
    chance = random.uniform(x.shape[1:], 0, "impulse")
    return torch.where(chance < c[0], (chance < c[0] / 2).to(x.dtype), x)


def shot_noise(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Return Poisson(c x) / c, by inversion: a uniform number is looked up in the distribution of its level."""
    bounds, guide = (table.to(x.device) for table in _poisson(c[0]))
    level = (x * LEVELS).round().long()
    chance = random.uniform(x.shape[1:], 0, "photons")
    count = guide.take(level * SLICES + (chance * SLICES).long())
    torn = (count < 0).nonzero(as_tuple=True)
    row, between = level[torn], chance[torn].double()
    count[torn] = (torch.searchsorted(bounds.ravel(), row + between, right=True) - row * bounds.shape[1]).short()
    return count.to(x.dtype) / c[0]


@cache
def _poisson(c: float) -> tuple[Tensor, Tensor]:
    """Return the distributions of Poisson(c level / 255) for all 256 levels.

    Returns:
        level + P(count <= k), ascending, float64, (256, counts);
        for each of SLICES equal slices of [0, 1) its only count, or -1 if it holds several, int16.
    """
    level = np.arange(LEVELS + 1)[:, None]
    mean = level * c / LEVELS
    count = np.arange(int(c + SPAN * np.sqrt(c)) + 4 * SPAN)
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(count[1:]))])
    with np.errstate(divide="ignore", invalid="ignore"):
        log_chance = np.where(count > 0, count * np.log(mean), 0.0) - mean - log_factorial
    below = np.minimum(1, np.cumsum(np.exp(log_chance), axis=1))
    below[:, -1] = 1
    bounds = torch.from_numpy(level + below)
    edges = torch.from_numpy(level + np.arange(SLICES + 1) / SLICES)
    first = torch.searchsorted(bounds, edges[:, :-1].contiguous(), right=True)
    last = torch.searchsorted(bounds, edges[:, 1:].contiguous())
    return bounds, torch.where(first == last, last, -1).short()
