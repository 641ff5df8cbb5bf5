"""A whole network: normalisation, backbone, head."""

import torch
from torch import Tensor, nn

from robench.classifiers.architectures import architecture
from robench.classifiers.heads import Constants, HypersphereHead, LinearHead, make_head
from robench.data import dataset_of
from robench.errors import InputError
from robench.specs import Card


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
        InputError: names the card's file and the key that does not fit.
    """
    shape, classes = dataset_of(card).sizes
    if len(card.input.mean) not in (1, shape[0]):
        raise InputError(f"{card.where}, key 'input.mean': expected {shape[0]} values, one a channel.")
    try:
        backbone_class = architecture(card.architecture.name)
    except InputError as error:
        raise InputError(f"{card.where}, key 'architecture.name': {error}") from error
    try:
        backbone = backbone_class(shape=shape, **card.architecture.args)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise InputError(f"{card.where}, key 'architecture.args': {str(error).rstrip('.')}.") from error
    try:
        head = make_head(card.head, backbone.features, classes)
    except InputError as error:
        raise InputError(f"{card.where}, key 'head.angular': {error}") from error
    return Classifier(backbone, head, card.input.mean, card.input.std)
