"""The code of each corruption by name, and its application to many images."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from robench.corruptions.blur import defocus_blur, gaussian_blur, glass_blur, motion_blur, zoom_blur
from robench.corruptions.digital import contrast, elastic_transform, jpeg_compression, pixelate, saturate
from robench.corruptions.filters import rounded, truncated
from robench.corruptions.noise import gaussian_noise, impulse_noise, shot_noise, speckle_noise
from robench.corruptions.size import brought_back, is_small, to_corruptible
from robench.corruptions.spatter import spatter
from robench.corruptions.weather import brightness, fog, frost, snow
from robench.numerics.randomness import ExampleRandom
from robench.specs.corruption import Constants, find_corruption

Corrupt = Callable[[Tensor, Constants, ExampleRandom], Tensor]
"""Takes RGB images (N, 3, H, W) in whole levels / 255, constants and random numbers; returns images of any range."""

PIXELS = 2**18
"""Number of pixels that are corrupted at a time, so that they stay in the processor's cache."""
LEAST = 32
"""Least number of images at a time: a loop over pixels, like glass blur, takes as long for one image as for many."""


def functions(small: bool) -> dict[str, Corrupt]:
    """Return the code of each corruption by name, for small or large images."""
    same: list[Corrupt] = [
        gaussian_noise, shot_noise, impulse_noise, defocus_blur, glass_blur, motion_blur, zoom_blur, snow, fog,
        brightness, contrast, pixelate, jpeg_compression, speckle_noise, gaussian_blur, spatter, saturate,
    ]  # fmt: skip
    named = {function.__name__: function for function in same}
    return named | {each.__name__: partial(each, small=small) for each in (frost, elastic_transform)}


@torch.no_grad()
def generate(x: Tensor, name: str, severity: int, ids: tuple[int, ...], seed: int) -> Tensor:
    """Corrupt images like `robench.corruptions.corrupt`, without its checks."""
    small, declared = is_small(x), find_corruption(name)
    constants = (declared.small if small else declared.large)[severity - 1]
    function, size = functions(small)[name], max(LEAST, PIXELS // (x.shape[2] * x.shape[3]))
    done = []
    for start in range(0, len(x), size):
        part = x[start : start + size]
        random = ExampleRandom(seed, f"{name}/{severity}", ids[start : start + size], device=x.device)
        corrupted = truncated(function(rounded(to_corruptible(part)).contiguous(), constants, random))
        done.append(brought_back(corrupted, part.shape))
    return torch.cat(done)
