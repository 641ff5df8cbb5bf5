"""A whole network: normalisation, backbone, head."""

import torch
from torch import Tensor, nn

from robench.classifiers.architectures import architecture
from robench.classifiers.heads import Constants, HypersphereHead, LinearHead, make_head
from robench.classifiers.normalised import normalise
from robench.data import dataset_of
from robench.errors import InputError
from robench.specs import Architecture, Card, Head, Input


class Classifier(nn.Module):
    """Map images in [0, 1] to logits; attacks see the whole network."""

    mean: Tensor
    std: Tensor

    def __init__(
        self, backbone: nn.Module, head: LinearHead | HypersphereHead, mean: list[float], std: list[float]
    ) -> None:
        super().__init__()
        self.backbone, self.head = backbone, head
        # The card declares mean and std, they are not learned: so both stay out of the state_dict.
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)

    @property
    def constants(self) -> Constants:
        """The head's scale and margin for objectives (1 and 0 for a linear head)."""
        return self.head

    def features(self, x: Tensor) -> Tensor:
        """Return the penultimate features, (N, D)."""
        z: Tensor = self.backbone(normalise(x, self.mean, self.std))
        return z

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) in [0, 1] to logits (N, K)."""
        logits: Tensor = self.head(self.features(x))
        return logits


def make_classifier(card: Card) -> Classifier:
    """Build the network a card declares, with fresh weights.

    Raises:
        InputError: names the card's file and the key that does not fit.
    """
    return assemble(card.architecture, card.head, card.input, *dataset_of(card).sizes, card.where)


def assemble(
    declared: Architecture, head: Head, given: Input, shape: tuple[int, int, int], classes: int, where: str
) -> Classifier:
    """Build a network from its parts, with fresh weights.

    Args:
        declared: the backbone.
        head: the last layer.
        given: the normalisation of the input.
        shape: shape of an image, channels first.
        classes: number of classes.
        where: place of the declaration, for messages.

    Raises:
        InputError: names `where` and the key that does not fit.
    """
    if len(given.mean) not in (1, shape[0]):
        raise InputError(f"{where}, key 'input.mean': expected {shape[0]} values, one a channel.")
    try:
        backbone_class = architecture(declared.name)
    except InputError as error:
        raise InputError(f"{where}, key 'architecture.name': {error}") from error
    try:
        backbone = backbone_class(shape=shape, **declared.args)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        raise InputError(f"{where}, key 'architecture.args': {str(error).rstrip('.')}.") from error
    try:
        last = make_head(head, backbone.features, classes)
    except InputError as error:
        raise InputError(f"{where}, key 'head.angular': {error}") from error
    return Classifier(backbone, last, given.mean, given.std)
