"""Weather: snow, frost, fog, brightness (Hendrycks & Dietterich 2019)."""

import math
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from robench.corruptions.filters import LEVELS, line_blur, truncated, zoom_in
from robench.errors import InputError
from robench.numerics.randomness import ExampleRandom
from robench.specs.corruption import Constants

FROST = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")
"""The five photographs that the published scripts choose from."""
FROST_PACKAGE = "imagecorruptions"
SMALL_FROST = 5
"""Distance of the pixels of a photograph that small images keep: bilinear by 0.2 without smoothing."""
LUMA = (0.299, 0.587, 0.114)


def luma(x: Tensor) -> Tensor:
    """Return the grey of RGB images by ITU-R 601, (N, 1, H, W)."""
    return LUMA[0] * x[:, 0:1] + LUMA[1] * x[:, 1:2] + LUMA[2] * x[:, 2:3]


def brightness(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Add c to the value of HSV, up to 1; hue and saturation stay, so the colour grows in proportion."""
    value = x.amax(1, keepdim=True)
    brighter = (value + c[0]).clamp(max=1)
    return torch.where(value > 0, x * (brighter / value.clamp(min=1 / LEVELS)), brighter)


def fog(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Return (x + c0 f) m / (m + c0): f a plasma fractal in [0, 1] of decay c1, m the image's largest value."""
    largest = x.amax((1, 2, 3), keepdim=True)
    side = 2 ** math.ceil(math.log2(max(x.shape[-2:])))
    cloud = plasma(random.uniform((side, side), 0, "plasma"), c[1])[:, None, : x.shape[-2], : x.shape[-1]]
    return (x + c[0] * cloud) * (largest / (largest + c[0]))


def plasma(chance: Tensor, decay: float) -> Tensor:
    """Make fractals by the diamond-square algorithm on a torus, scaled to [0, 1].

    Args:
        chance: uniform numbers in [0, 1), (N, side, side), side a power of two.
        decay: from level to level, the jitter, 100 times a uniform number in [-100, 100], is divided by decay squared.
    """
    field, jitter = torch.zeros_like(chance), (2 * chance - 1) * 1e4
    step = chance.shape[-1]
    while step >= 2:
        half = step // 2
        corners = field[:, ::step, ::step]
        square = corners + corners.roll(-1, 1)
        square = square + square.roll(-1, 2)
        field[:, half::step, half::step] = square / 4 + jitter[:, half::step, half::step]
        middles = field[:, half::step, half::step]
        top = middles + middles.roll(1, 1) + corners + corners.roll(-1, 2)
        field[:, ::step, half::step] = top / 4 + jitter[:, ::step, half::step]
        left = middles + middles.roll(1, 2) + corners + corners.roll(-1, 1)
        field[:, half::step, ::step] = left / 4 + jitter[:, half::step, ::step]
        step, jitter = half, jitter / decay**2
    field = field - field.amin((1, 2), keepdim=True)
    return field / field.amax((1, 2), keepdim=True)


def snow(x: Tensor, c: Constants, random: ExampleRandom) -> Tensor:
    """Whiten the image by 1 - c6; add flakes, and the same flakes turned by 180 degrees.

    Flakes: normal numbers of mean c0 and deviation c1, enlarged by c2, zero below c3, 8 bits, blurred along a line of
    radius c4 and sigma c5 at an angle uniform in [-135, -45] degrees.
    """
    flakes = c[0] + c[1] * random.normal((1, *x.shape[-2:]), 0, "flakes")
    flakes = zoom_in(flakes, c[2])
    flakes = truncated(torch.where(flakes < c[3], 0.0, flakes))
    flakes = line_blur(flakes, c[4], c[5], 90 * random.uniform((), 0, "angle").double() - 135)
    whitened = c[6] * x + (1 - c[6]) * torch.maximum(x, 1.5 * luma(x) + 0.5)
    return whitened + flakes + flakes.flip(2, 3)


def frost(x: Tensor, c: Constants, random: ExampleRandom, small: bool) -> Tensor:
    """Return c0 x + c1 f: f a random crop of one of five photographs, reduced to a fifth for small images.

    A photograph that is not larger than the image is enlarged until it is; this does not occur in the published sets.
    """
    height, width = x.shape[-2:]
    crops = []
    for which, down, right in random.uniform((3,), 0, "crop").double().tolist():
        photograph = _photographs(height, width, small)[int(which * len(FROST))]
        top, left = int(down * (photograph.shape[1] - height)), int(right * (photograph.shape[2] - width))
        crops.append(photograph[:, top : top + height, left : left + width])
    return c[0] * x + c[1] * (torch.stack(crops).to(x) / LEVELS)


@cache
def _photographs(height: int, width: int, small: bool) -> list[Tensor]:
    """Read the frost photographs for images of a size, uint8, (3, > height, > width)."""
    found = []
    for name in FROST:
        with Image.open(_frost_folder() / name) as file:
            pixels = np.asarray(file)[:, :, :3]
        if small:
            (tall, wide), middle = pixels.shape[:2], SMALL_FROST // 2
            pixels = pixels[middle::SMALL_FROST, middle::SMALL_FROST]
            pixels = pixels[: round(tall / SMALL_FROST), : round(wide / SMALL_FROST)]
        photograph = torch.from_numpy(pixels.copy()).permute(2, 0, 1)
        scale = max((height + 1) / photograph.shape[1], (width + 1) / photograph.shape[2])
        if scale > 1:
            sizes = [math.ceil(side * scale) for side in photograph.shape[1:]]
            photograph = F.interpolate(photograph[None].float(), size=sizes, mode="bilinear")[0].round().byte()
        found.append(photograph)
    return found


def _frost_folder() -> Path:
    """Find the photographs in the installed package, without importing it.

    Raises:
        InputError: the package or a photograph is missing.
    """
    spec = find_spec(FROST_PACKAGE)
    places = [Path(place) / "frost" for place in (spec.submodule_search_locations or [])] if spec else []
    for place in places:
        if all((place / name).is_file() for name in FROST):
            return place
    raise InputError("'frost' needs the photographs of imagecorruptions-imaug: pip install imagecorruptions-imaug.")
