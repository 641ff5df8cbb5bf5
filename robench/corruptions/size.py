"""Sizes and channels that the published sets do not have: small images and grey ones."""

import torch.nn.functional as F
from torch import Tensor

SIDE = 32
"""The smallest side, in pixels, that the corruptions are defined for."""
SMALL_BELOW = 64
"""Shorter side, in pixels, below which images get CIFAR-10-C's constants; others get ImageNet-C's."""


def is_small(x: Tensor) -> bool:
    """Return whether images get CIFAR-10-C's constants."""
    return min(x.shape[-2:]) < SMALL_BELOW


def to_corruptible(x: Tensor) -> Tensor:
    """Convert images to RGB of at least 32 x 32: sides below 32 are enlarged to 32 (bilinear), grey is repeated.

    Args:
        x: (N, 1 or 3, H, W).
    """
    height, width = x.shape[-2:]
    if min(height, width) < SIDE:
        x = F.interpolate(x, size=(max(height, SIDE), max(width, SIDE)), mode="bilinear", align_corners=False)
    return x.expand(-1, 3, -1, -1)


def brought_back(corrupted: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Convert corrupted images back to (N, C, H, W): areas are averaged, grey is the mean of the channels.

    Averages are not truncated to 8 bits.
    """
    if shape[1] == 1:
        corrupted = corrupted.mean(1, keepdim=True)
    if corrupted.shape[-2:] != shape[-2:]:
        corrupted = F.adaptive_avg_pool2d(corrupted, (shape[2], shape[3]))
    return corrupted.clamp(0, 1)


def rule(shape: tuple[int, ...]) -> str:
    """Return a note, one sentence, for readers of numbers on images of a shape (N, C, H, W)."""
    constants = "CIFAR-10-C's" if min(shape[-2:]) < SMALL_BELOW else "ImageNet-C's"
    steps = [f"at {SIDE} x {SIDE} pixels"] if min(shape[-2:]) < SIDE else []
    steps += ["in RGB"] if shape[1] == 1 else []
    brought = f", corrupted {' '.join(steps)} and brought back" if steps else ""
    return f"Generated with {constants} constants{brought}."
