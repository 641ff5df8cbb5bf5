"""From names to corrupted images."""

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
"""From RGB images (N, 3, H, W) in whole levels / 255, the constants and the draws to corrupted images, any range."""

PIXELS = 2**18
"""How many pixels go through at a time, so that they stay in the processor's cache."""
LEAST = 32
"""How many images do at least: what goes pixel by pixel, like glass blur, costs as much for one as for many."""


def functions(small: bool) -> dict[str, Corrupt]:
    """The code of every corruption, by name, for small or large images."""
    same: list[Corrupt] = [
        gaussian_noise, shot_noise, impulse_noise, defocus_blur, glass_blur, motion_blur, zoom_blur, snow, fog,
        brightness, contrast, pixelate, jpeg_compression, speckle_noise, gaussian_blur, spatter, saturate,
    ]  # fmt: skip
    named = {function.__name__: function for function in same}
    return named | {each.__name__: partial(each, small=small) for each in (frost, elastic_transform)}


@torch.no_grad()
def generate(x: Tensor, name: str, severity: int, ids: tuple[int, ...], seed: int) -> Tensor:
    """`robench.corruptions.corrupt` without its checks."""
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
