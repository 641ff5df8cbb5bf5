"""Agreement of two sets of images, example by example: it tells whether one of them was reordered."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

SIDE = 8
"""Pixels of a thumbnail's side."""
Z = 4.0
"""Standard errors by which counterparts must agree more than neighbours."""


def thumbnails(images: NDArray[Any]) -> NDArray[np.float64]:
    """Reduce images (N, H, W, C), whose sides are multiples of 8, to 8x8, flat, centred and of length 1."""
    n, height, width, channels = images.shape
    blocks = images.reshape(n, SIDE, height // SIDE, SIDE, width // SIDE, channels)
    small = blocks.mean((2, 4)).reshape(n, -1)
    small = small - small.mean(1, keepdims=True)
    return np.asarray(small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-12))


def in_one_order(left: NDArray[np.float64], right: NDArray[np.float64]) -> bool:
    """Return whether thumbnails resemble their counterparts more than other images, on average."""
    gain = (left * right).sum(1) - (left * np.roll(right, 1, axis=0)).sum(1)
    return float(gain.mean() / max(gain.std() / math.sqrt(len(gain)), 1e-12)) > Z
