"""Augmentation of image batches (N, C, H, W), drawn independently for each example."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

PADDING = 4

Augment = Callable[[Tensor, torch.Generator], Tensor]


def none(x: Tensor, generator: torch.Generator) -> Tensor:
    """Return the images unchanged."""
    return x


def crop_flip(x: Tensor, generator: torch.Generator) -> Tensor:
    """Crop at random from images padded with 4 zeros a side, and flip with probability 1/2 (paper, C.2)."""
    n, _, height, width = x.shape
    padded = F.pad(x, (PADDING,) * 4)
    top, left = (torch.randint(2 * PADDING + 1, (n,), generator=generator) for _ in range(2))
    rows = top[:, None] + torch.arange(height)
    columns = left[:, None] + torch.arange(width)
    flip = torch.rand(n, generator=generator) < 0.5
    columns = torch.where(flip[:, None], columns.flip(1), columns)
    return padded[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]].movedim(3, 1)


AUGMENTS: dict[str, Augment] = {"none": none, "crop_flip": crop_flip}
"""Augmentations of tensors by name; `resized_crop_flip` happens while image files are decoded."""
