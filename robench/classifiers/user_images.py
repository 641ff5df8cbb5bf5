"""A user's images as a network takes them: with its channels, with labels among its classes."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from robench.classifiers.frozen import FrozenNetwork, frozen_network
from robench.data.about import About
from robench.data.channels import with_one_channel
from robench.data.class_names import class_key
from robench.data.split import Split
from robench.data.standard_classes import standard_names
from robench.errors import InputError

Named = Callable[[tuple[str, ...]], Split]
"""Reads examples again, with labels by class names that are in the order of the labels."""


def fitted(split: Split, network: nn.Module, device: torch.device, named: Named | None = None) -> Split:
    """Return a user's examples with the channels and the labels of a network, after one image was tried.

    Grey images are read with three equal channels; they get one channel if the network refuses three and takes one.
    Classes with the names of CIFAR-10, CIFAR-100 or ImageNet get the labels of this dataset if the network has as many
    classes as the dataset.

    Args:
        split: the examples.
        network: the network that classifies them.
        device: the device of the trial.
        named: reads the same examples again; None if their labels do not follow from names.

    Raises:
        InputError: labels follow from the order of the classes, but the network has more or fewer classes; or some
            names are not among those of the dataset; or the network is in training mode.
    """
    with frozen_network(network, device) as frozen:
        split, logits = _with_channels(frozen, split)
        if named and logits is not None and (names := _standard(split.about, logits.shape[1])):
            split, logits = _with_channels(frozen, named(names))
            note = f"labels by the {len(names):,} class names {names[0]} to {names[-1]}"
            return replace(split, about=replace(split.about, known=names, notes=(note, *split.about.notes)))
    if logits is not None and split.about.by_order not in (None, logits.shape[1]):
        raise InputError(
            f"'{split.name}' has {split.about.by_order} classes, the network {logits.shape[1]}, so the alphabetical "
            "order gives no labels: name the network's classes in their order with --classes FILE."
        )
    return split


def _with_channels(network: FrozenNetwork, split: Split) -> tuple[Split, Tensor | None]:
    """Return the examples with the channels that the network takes, and the logits of the first, as in `_try`."""
    logits = _try(network, split)
    if logits is None and (other := with_one_channel(split)) is not None:
        logits = _try(network, other)
        split = split if logits is None else other
    return split, logits


def _standard(about: About, outputs: int) -> tuple[str, ...]:
    """Return the class names of the dataset with as many classes as the network, if they should give the labels.

    Names that fit in part are of another dataset, if the user has as many classes as the network or their labels are
    numbers of a file; else the unfit names are a fault, which is named when they are read.
    """
    names = standard_names(outputs, about.classes)
    fit = {*map(class_key, about.classes)} <= {*map(class_key, names)}
    if about.by_order is None:
        return names if fit and len(about.classes) != outputs else ()
    return names if fit or about.by_order != outputs else ()


def _try(network: FrozenNetwork, split: Split) -> Tensor | None:
    """Return the logits of the first image, or None if the network refuses it; the evaluation says why."""
    try:
        logits = network.predict(split.x[:1])
        return logits[:, : network.classes(logits)]
    except InputError:
        return None
