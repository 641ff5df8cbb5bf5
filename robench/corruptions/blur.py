"""Blurs: defocus, glass, motion, zoom, Gaussian (Hendrycks & Dietterich 2019)."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from robench.corruptions.filters import correlate, line_blur, smooth, truncated, window
from robench.numerics.randomness import ExampleRandom
from robench.specs.corruption import Constants

DISK = 8
"""Largest radius of a disk that is drawn on a 17 x 17 grid and whose rim is softened over 3 pixels, not 5."""


def gaussian_blur(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Smooth with sigma c; edge pixels continue beyond the edge."""
    return smooth(x, c[0])


def defocus_blur(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Correlate with a disk of radius c0 whose rim is softened with sigma c1."""
    return correlate(x, _disk(c[0], c[1]))


@cache
def _disk(radius: float, sigma: float) -> np.ndarray:
    """Return the softened disk, with sum 1 and without rows and columns of zeros."""
    side, rim = (DISK, 1) if radius <= DISK else (int(radius), 2)
    axis = np.arange(-side, side + 1)
    disk = (axis[:, None] ** 2 + axis**2 <= radius**2).astype(float)
    soft = np.exp(-0.5 * (np.arange(-rim, rim + 1) / sigma) ** 2)
    soft /= soft.sum()
    padded = np.pad(disk / disk.sum(), rim, mode="reflect")
    rows = sum(weight * padded[i : i + len(axis)] for i, weight in enumerate(soft))
    kernel = np.asarray(sum(weight * rows[:, i : i + len(axis)] for i, weight in enumerate(soft)))
    reach = int(np.abs(np.argwhere(kernel > 0) - side).max())
    return kernel[side - reach : side + reach + 1, side - reach : side + reach + 1]


def motion_blur(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Blur along a line of radius c0 and sigma c1, at an angle uniform in [-45, 45] degrees."""
    return line_blur(x, c[0], c[1], 90 * random.uniform((), 0, "angle").double() - 45)


def zoom_blur(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Return the mean of x and of its zooms by 1, 1 + c1, ... below c0: one sparse linear map."""
    layers = _layers(x.shape[2], x.shape[3], c).to(x.device)
    pixels = x.flatten(0, 1).flatten(1).mT.contiguous()
    return (layers @ pixels).mT.reshape(x.shape)


@cache
def _layers(height: int, width: int, c: Constants) -> Tensor:
    """Return the matrix that maps an image to its mean with its zooms, sparse, (H W, H W)."""
    pixels = np.arange(height * width)
    targets, sources, weights = [pixels], [pixels], [np.ones(len(pixels))]
    for factor in np.arange(1, c[0], c[1]):
        (rows, row_weights), (columns, column_weights) = _taps(height, float(factor)), _taps(width, float(factor))
        source = rows[:, None, :, None] * width + columns[None, :, None, :]
        targets.append(np.broadcast_to(pixels.reshape(height, width, 1, 1), source.shape).ravel())
        sources.append(source.ravel())
        weights.append((row_weights[:, None, :, None] * column_weights[None, :, None, :]).ravel())
    places = torch.from_numpy(np.stack([np.concatenate(targets), np.concatenate(sources)]))
    values = torch.from_numpy(np.concatenate(weights) / len(weights)).float()
    return torch.sparse_coo_tensor(places, values, (len(pixels), len(pixels)), check_invariants=True).coalesce()


def _taps(size: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the two neighbours that each of `size` zoomed values comes from, and their weights, (size, 2)."""
    start, crop, large, trim = window(size, factor)
    place = (np.arange(size) + trim) * ((crop - 1) / (large - 1))
    first = np.minimum(np.floor(place), crop - 2)
    beyond = place - first
    return (start + first[:, None] + [0, 1]).astype(int), np.stack([1 - beyond, beyond], 1)


def glass_blur(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Smooth with sigma c0, in 8 bits; move pixels to neighbours in c2 passes; smooth again.

    A pass goes from the bottom right to the top left; each pixel takes the value of the one at a shift uniform in
    [-c1, c1 - 1] on either axis. The paper's scripts intend to exchange the two pixels but assign through views of the
    array: the pixel is overwritten and its source stays. The published images are made in this way, and so are these.
    """
    n, _, height, width = x.shape
    reach, passes = int(c[1]), int(c[2])
    rows, columns = range(height - reach, reach, -1), range(width - reach, reach, -1)
    chance = random.uniform((passes, len(rows), len(columns), 2), 0, "shift")
    shift = (chance * 2 * reach).long() - reach
    step = (shift[..., 0] * width + shift[..., 1]).permute(1, 2, 3, 0).contiguous()
    here = torch.tensor(rows)[:, None] * width + torch.tensor(columns)
    source = torch.arange(height * width, device=x.device)[:, None].repeat(1, n)
    for one in step:
        if reach == 1:  # every shift points to pixels that the pass has not reached yet: move all at once
            places = here.to(x.device)[:, :, None].expand_as(one).flatten(0, 1)
            source.scatter_(0, places, source.gather(0, places + one.flatten(0, 1)))
            continue
        example = torch.arange(n, device=x.device)
        for place, near in zip(here.flatten().tolist(), one.flatten(0, 1), strict=True):
            source[place] = source[place + near, example]
    blurred = truncated(smooth(x, c[0])).flatten(2)
    return smooth(blurred.gather(2, source.mT[:, None].expand_as(blurred)).reshape(x.shape), c[0])
