"""A user's images as a network takes them: with its channels, with labels among its classes."""

import torch
from torch import Tensor, nn

from robench.classifiers.frozen import FrozenNetwork, frozen_network
from robench.data.channels import with_one_channel
from robench.data.split import Split
from robench.errors import InputError


def fitted(split: Split, network: nn.Module, device: torch.device) -> Split:
    """Return a user's examples with the channels that a network takes, after one image was tried.

    Grey images are read with three equal channels; they get one channel if the network refuses three and takes one.

    Raises:
        InputError: labels follow from the order of the classes, but the network has more or fewer classes; or the
            network is in training mode.
    """
    with frozen_network(network, device) as frozen:
        logits = _try(frozen, split)
        if logits is None and (other := with_one_channel(split)) is not None:
            logits = _try(frozen, other)
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
