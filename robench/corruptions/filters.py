"""Operations that several corruptions share: 8-bit rounding, smoothing, line blur, correlation, zoom.

Images are (N, C, H, W) in [0, 1]. No operation mixes examples, and sums that matrix products may reorder are float64:
an image does not depend on its batch.
"""

import math
from functools import cache
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 255
GUARD = 1e-3
"""Levels added before truncation, which would otherwise turn 56.9999 into 56 where exact arithmetic gives 57."""
NEGLIGIBLE = 1e-7
"""Weight below which nothing changes in 8 bits."""

Border = Literal["nearest", "reflect"]
"""Values beyond the edge: a a a | a b c (nearest), or c b a | a b c (reflect)."""


def truncated(x: Tensor) -> Tensor:
    """Truncate to 8 bits like np.uint8 in the published scripts, as levels / 255."""
    return (x.clamp(0, 1) * LEVELS + GUARD).floor() / LEVELS


def rounded(x: Tensor) -> Tensor:
    """Round to the nearest of 256 levels, as levels / 255."""
    return (x.clamp(0, 1) * LEVELS + 0.5).floor() / LEVELS


def smooth(x: Tensor, sigma: float, truncate: float = 4.0, border: Border = "nearest") -> Tensor:
    """Smooth the last two axes with a Gaussian, cut at truncate * sigma (scipy's gaussian_filter)."""
    rows, columns = (_smoothing(size, sigma, truncate, border).to(x.device) for size in x.shape[-2:])
    return (rows @ x.double() @ columns.mT).to(x.dtype)


@cache
def _smoothing(size: int, sigma: float, truncate: float, border: Border) -> Tensor:
    """Return the smoothing of `size` values as a matrix, float64, (size, size)."""
    radius = int(truncate * sigma + 0.5)
    if not radius:
        return torch.eye(size, dtype=torch.float64)
    taps = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (taps.double() / sigma) ** 2)
    source = torch.arange(size)[:, None] + taps
    if border == "nearest":
        source = source.clamp(0, size - 1)
    else:
        source = source.remainder(2 * size)
        source = torch.where(source < size, source, 2 * size - 1 - source)
    matrix = torch.zeros(size, size, dtype=torch.float64)
    return matrix.scatter_add_(1, source, (weights / weights.sum()).expand(size, -1))


def correlate(x: Tensor, kernel: np.ndarray) -> Tensor:
    """Correlate each channel with an odd square kernel; images are mirrored about their edge pixels (c b | a b c)."""
    pad = len(kernel) // 2
    height, width = x.shape[-2:]
    padded = F.pad(x, (pad, pad, pad, pad), mode="reflect")
    total = torch.zeros_like(x)
    for row, column in np.argwhere(np.abs(kernel) > NEGLIGIBLE):
        total += float(kernel[row, column]) * padded[..., row : row + height, column : column + width]
    return total


def line_blur(x: Tensor, radius: float, sigma: float, degrees: Tensor) -> Tensor:
    """Blur like ImageMagick's motion blur: half a Gaussian along a line that starts at the pixel; 8 bits, rounded.

    Tap j of 2 radius + 1 lies at (ceil(j cos - 1/2), ceil(j sin - 1/2)), x to the right and y down, with weight
    exp(-j^2 / (2 sigma^2)); edge pixels continue beyond the edge.

    Args:
        x: images.
        radius: in pixels.
        sigma: in pixels.
        degrees: the angle of each example, float64, (N,).
    """
    n, channels, height, width = x.shape
    weights = np.exp(-0.5 * (np.arange(2 * math.ceil(radius) + 1) / sigma) ** 2)
    weights /= weights.sum()
    right, down = torch.cos(degrees.deg2rad()), torch.sin(degrees.deg2rad())
    rows, columns = torch.arange(height, device=x.device), torch.arange(width, device=x.device)
    flat = x.flatten(2)
    total = torch.zeros_like(flat)
    for j, weight in enumerate(weights):
        if weight < NEGLIGIBLE:
            break
        row = (rows + (j * down - 0.5).ceil().long()[:, None]).clamp(0, height - 1)
        column = (columns + (j * right - 0.5).ceil().long()[:, None]).clamp(0, width - 1)
        source = (row[:, :, None] * width + column[:, None, :]).flatten(1)
        total += float(weight) * flat.gather(2, source[:, None].expand(n, channels, -1))
    return rounded(total.reshape(x.shape))


def zoom_in(x: Tensor, factor: float) -> Tensor:
    """Enlarge the middle of the image to the size of the image, bilinear, corners on corners."""
    height, width = x.shape[-2:]
    (top, tall, large_tall, trim_top), (left, wide, large_wide, trim_left) = (
        window(height, factor),
        window(width, factor),
    )
    middle = x[..., top : top + tall, left : left + wide]
    large = F.interpolate(middle, size=(large_tall, large_wide), mode="bilinear", align_corners=True)
    return large[..., trim_top : trim_top + height, trim_left : trim_left + width]


def window(size: int, factor: float) -> tuple[int, int, int, int]:
    """Return the steps of a zoom along one axis: ceil(size / factor) middle pixels, enlarged, trimmed to `size`.

    Returns:
        the first pixel taken, the number of pixels taken, their number after enlarging, and the number trimmed at the
        beginning.
    """
    crop = math.ceil(size / factor)
    large = round(crop * factor)
    return (size - crop) // 2, crop, large, (large - size) // 2
