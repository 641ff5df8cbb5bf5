"""A whole network: normalisation, backbone, head."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from robench.classifiers.convnet import ConvNet
from robench.classifiers.heads import Constants, HypersphereHead, LinearHead, make_head
from robench.data import find_dataset
from robench.errors import InputError, unknown
from robench.specs import Card

ARCHITECTURES: dict[str, Callable[..., Any]] = {"convnet": ConvNet}
"""Backbones by name: called with `shape` and a card's arguments, they map images to features (N, D)."""


class Classifier(nn.Module):
    """Maps images in [0, 1] to logits; attacks see this whole."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, head: LinearHead | HypersphereHead, mean: list[float], std: list[float]
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        # Declared by the card, not learned: they stay out of the state_dict.
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    @property
    def constants(self) -> Constants:
        """The head's scale and margin for objectives (1 and 0 for a linear head)."""
        return self.head

    def features(self, x: Tensor) -> Tensor:
        """Penultimate features, (N, D)."""
        z: Tensor = self.backbone((x - self.mean) / self.std)
        return z

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.head(self.features(x))
        return logits


def make_classifier(card: Card) -> Classifier:
    """Build the network a card declares, with fresh weights.

    Raises:
        InputError: unknown architecture, or arguments it does not take.
    """
    dataset, spec = find_dataset(card.dataset), card.architecture
    if spec.name not in ARCHITECTURES:
        raise unknown("architecture", spec.name, list(ARCHITECTURES))
    if len(card.input.mean) not in (1, dataset.shape[0]):
        raise InputError(f"card '{card.name}', key 'input.mean': expected {dataset.shape[0]} values, one a channel.")
    try:
        backbone = ARCHITECTURES[spec.name](shape=dataset.shape, **spec.args)
    except (TypeError, ValueError) as error:
        raise InputError(f"card '{card.name}', key 'architecture.args': {error}.") from error
    head = make_head(card.head, backbone.features, dataset.classes)
    return Classifier(backbone, head, card.input.mean, card.input.std)
