"""How images that no published set knows are corrupted: small ones and grey ones."""

import torch.nn.functional as F
from torch import Tensor

SIDE = 32
"""Pixels: the smallest side that the corruptions are defined for."""
SMALL_BELOW = 64
"""Pixels: images whose shorter side is below it take CIFAR-10-C's constants, others ImageNet-C's."""


def is_small(x: Tensor) -> bool:
    """Whether CIFAR-10-C's constants are taken."""
    return min(x.shape[-2:]) < SMALL_BELOW


def to_corruptible(x: Tensor) -> Tensor:
    """Images as RGB of at least 32 x 32: sides below 32 enlarged to 32 (bilinear), grey repeated.

    Args:
        x: (N, 1 or 3, H, W).
    """
    height, width = x.shape[-2:]
    if min(height, width) < SIDE:
        x = F.interpolate(x, size=(max(height, SIDE), max(width, SIDE)), mode="bilinear", align_corners=False)
    return x.expand(-1, 3, -1, -1)


def brought_back(corrupted: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Corrupted images as (N, C, H, W) again: areas averaged, grey the mean of the channels.

    Averages are not cut to 8 bits again.
    """
    if shape[1] == 1:
        corrupted = corrupted.mean(1, keepdim=True)
    if corrupted.shape[-2:] != shape[-2:]:
        corrupted = F.adaptive_avg_pool2d(corrupted, (shape[2], shape[3]))
    return corrupted.clamp(0, 1)


def rule(shape: tuple[int, ...]) -> str:
    """What a reader of numbers on images of a shape (N, C, H, W) must know, one sentence."""
    constants = "CIFAR-10-C's" if min(shape[-2:]) < SMALL_BELOW else "ImageNet-C's"
    steps = [f"at {SIDE} x {SIDE} pixels"] if min(shape[-2:]) < SIDE else []
    steps += ["in RGB"] if shape[1] == 1 else []
    brought = f", corrupted {' '.join(steps)} and brought back" if steps else ""
    return f"Generated with {constants} constants{brought}."
