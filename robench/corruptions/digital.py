"""Digital: contrast, elastic transform, pixelate, JPEG, saturate (Hendrycks & Dietterich 2019)."""

from functools import cache
from io import BytesIO

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from robench.corruptions.filters import LEVELS, rounded, smooth
from robench.numerics.randomness import ExampleRandom
from robench.specs.corruption import Constants


def contrast(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Return c (x - m) + m, where m is the mean of each channel."""
    mean = x.double().mean((2, 3), keepdim=True).to(x.dtype)
    return (x - mean) * c[0] + mean


def saturate(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Change the saturation s of HSV to c0 s + c1, within [0, 1]; hue and value stay, the hue of grey is red."""
    value, least = x.amax(1, keepdim=True), x.amin(1, keepdim=True)
    before = (value - least) / value.clamp(min=1 / LEVELS)
    after = (before * c[0] + c[1]).clamp(0, 1)
    distance = torch.where(value > least, (value - x) / (value - least).clamp(min=1 / LEVELS), _red(x))
    return value * (1 - after * distance)


def _red(x: Tensor) -> Tensor:
    """Return the distance of each channel of pure red from the value, in saturations."""
    return torch.tensor([0.0, 1.0, 1.0], dtype=x.dtype, device=x.device)[:, None, None]


def jpeg_compression(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Encode and decode each image with Pillow's JPEG of quality c."""
    levels = (x * LEVELS).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    decoded = np.stack([_through_jpeg(each, int(c[0])) for each in levels])
    return torch.from_numpy(decoded).permute(0, 3, 1, 2).to(x) / LEVELS


def _through_jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """Encode and decode one image, uint8, (H, W, 3)."""
    stream = BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=quality)
    with Image.open(stream) as file:
        return np.asarray(file)


def pixelate(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Resize with Pillow's box filter to int(c side) pixels and back, first width, then height, each in 8 bits."""
    height, width = x.shape[-2:]
    for small in ((int(height * c[0]), int(width * c[0])), (height, width)):
        x = rounded((x.double() @ _box(x.shape[3], small[1]).to(x.device).mT).to(x.dtype))
        x = rounded((_box(x.shape[2], small[0]).to(x.device) @ x.double()).to(x.dtype))
    return x


@cache
def _box(size: int, new_size: int) -> Tensor:
    """Return the box resize of `size` values as a matrix, float64: means of the values below each new one."""
    scale = size / new_size
    reach = max(scale, 1) / 2
    distance = np.arange(size) + 0.5 - (np.arange(new_size)[:, None] + 0.5) * scale
    weights = ((distance > -reach) & (distance <= reach)).astype(float)
    return torch.from_numpy(weights / weights.sum(1, keepdims=True))


def elastic_transform(x: Tensor, c: Constants, random: ExampleRandom, small: bool) -> Tensor:
    """Apply a random affine map, then displacements c0 u, u uniform in [-1, 1] and smoothed with sigma c1; bilinear.

    The affine map moves three points around the middle by up to c2 on either axis. The unit of the constants is the
    side of a small image, the pixel of a large one.
    """
    height, width = x.shape[-2:]
    strength, sigma, jitter = (value * min(height, width) if small else value for value in c)
    x = _sample(x, _affine(random.uniform((3, 2), 0, "affine"), jitter, height, width), corners=True)
    field = 2 * random.uniform((2, height, width), 0, "displacement") - 1
    moved = smooth(field, sigma, truncate=3, border="reflect") * strength
    return _sample(x, _grid(height, width, x) + moved.permute(0, 2, 3, 1), corners=False)


def _affine(chance: Tensor, jitter: float, height: int, width: int) -> Tensor:
    """Return the place (x, y) that each pixel of a randomly mapped image comes from, in pixels, (N, H, W, 2)."""
    middle = torch.tensor([width // 2, height // 2], dtype=torch.float64, device=chance.device)
    signs = torch.tensor([[1, 1], [1, -1], [-1, -1]], dtype=torch.float64, device=chance.device)
    before = middle + signs * (min(height, width) // 3)
    after = before + jitter * (2 * chance.double() - 1)
    ones = torch.ones_like(after[..., :1])
    back: Tensor = torch.linalg.solve(torch.cat([after, ones], 2), before.expand_as(after))
    grid = _grid(height, width, after).flatten(0, 1)
    places: Tensor = torch.cat([grid, torch.ones_like(grid[:, :1])], 1) @ back
    return places.reshape(-1, height, width, 2)


def _grid(height: int, width: int, like: Tensor) -> Tensor:
    """Return the place (x, y) of each pixel, (H, W, 2)."""
    sides = [torch.arange(side, dtype=like.dtype, device=like.device) for side in (width, height)]
    return torch.stack(torch.meshgrid(*sides, indexing="xy"), 2)


def _sample(x: Tensor, places: Tensor, corners: bool) -> Tensor:
    """Sample x at places (x, y) in pixels, bilinear, mirrored about edge pixels (`corners`) or their outer rim."""
    sides = torch.tensor([x.shape[3], x.shape[2]], dtype=places.dtype, device=x.device)
    scaled = 2 * places / (sides - 1) - 1 if corners else (2 * places + 1) / sides - 1
    return F.grid_sample(x, scaled.to(x.dtype), mode="bilinear", padding_mode="reflection", align_corners=corners)
