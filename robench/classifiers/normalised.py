"""Normalisation before a network that expects normalised images."""

from collections.abc import Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from robench.specs import Input


def normalise(x: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Normalise images (N, C, H, W) with constants (C, 1, 1) or (1, 1, 1).

    Raises:
        ValueError: the images have another number of channels; grey images would silently become coloured.
    """
    if len(mean) not in (1, x.shape[1]):
        raise ValueError(f"images of {x.shape[1]} channels, normalised by {len(mean)} values")
    return (x - mean) / std


class Normalised(nn.Module):
    """Take images in [0, 1] and pass them, normalised, to a network that expects normalised images.

    Args:
        network: maps normalised images to logits.
        mean, std: one value per channel, or one value for all channels.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network, self.training = network, False  # no mode of its own
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.network(normalise(x, self.mean, self.std))
        return logits


def normalised(network: nn.Module, given: Input) -> nn.Module:
    """Put the normalisation before a network; return the network itself if there is nothing to normalise."""
    if given == Input():
        return network
    first = next(chain(network.parameters(), network.buffers()), None)
    made = Normalised(network, given.mean, given.std)
    return made if first is None else made.to(first.device)
