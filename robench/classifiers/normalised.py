"""Normalisation put before a network that expects it."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from robench.specs import Input


def normalise(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Images (N, C, H, W) by constants (C, 1, 1) or (1, 1, 1).

    Raises:
        ValueError: the images have another number of channels; grey ones would silently become coloured.
    """
    if len(mean) not in (1, x.shape[1]):
        raise ValueError(f"images of {x.shape[1]} channels, normalised by {len(mean)} values")
    return (x - mean) / std


class Normalised(nn.Module):
    """A network that expects normalised images, made to take images in [0, 1].

    Args:
        network: maps normalised images to logits.
        mean, std: one value a channel, or one for all.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Images in [0, 1] (N, C, H, W) to logits (N, K)."""
        logits: Tensor = self.network(normalise(x, self.mean, self.std))
        return logits


def normalised(network: nn.Module, given: Input) -> nn.Module:
    """The network itself where nothing is to be normalised, else with its normalisation."""
    return network if given == Input() else Normalised(network, given.mean, given.std)
