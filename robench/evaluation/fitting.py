"""A user's images as a network takes them: with its channels, with labels among its classes."""

import torch
from torch import Tensor

from robench.classifiers.frozen import FrozenNetwork, frozen_network
from robench.data.channels import with_other_channels
from robench.data.split import Split
from robench.errors import InputError
from robench.evaluation.request import NetworkUnderTest


def fitted(split: Split, under_test: NetworkUnderTest, device: torch.device) -> Split:
    """Return a user's examples with the channels that a network takes, after one image was tried.

    Grey images have one channel or three equal ones; they are changed only if the network refuses them as they are.

    Raises:
        InputError: labels follow from the order of the classes, but the network has more or fewer classes; or the
            network is in training mode.
    """
    with frozen_network(under_test.load(), device) as network:
        logits = _try(network, split)
        if logits is None and (other := with_other_channels(split)) is not None:
            logits = _try(network, other)
            split = split if logits is None else other
    if logits is not None and split.about.by_order not in (None, logits.shape[1]):
        raise InputError(
            f"'{split.name}' has {split.about.by_order} classes, the network {logits.shape[1]}, so the alphabetical "
            "order gives no labels: name the network's classes in their order with --classes FILE."
        )
    return split


def _try(network: FrozenNetwork, split: Split) -> Tensor | None:
    """Return the logits of the first image, or None if the network refuses it; the evaluation says why."""
    try:
        return network.predict(split.x[:1])
    except InputError:
        return None
