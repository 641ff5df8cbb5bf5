"""Recognise published checkpoints by their keys.

Each family is one of robench's architectures: the keys of the backbone are the same, only the last layer has another
name. The arguments of the architecture are read from the shapes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from math import isfinite
from typing import Any

import torch
from torchvision import models

from robench.classifiers.architectures import architecture
from robench.classifiers.sources.checkpoint import Weights, peeled, shape_of
from robench.errors import InputError
from robench.specs import Architecture, Input
from robench.specs.base import build

BACKBONE, HEAD = "backbone.", "head."
"""Prefixes of the keys of robench's networks."""
INPUTS = (("mu", "sigma"), ("mean", "std"), ("normalize.mean", "normalize.std"), ("0.mean", "0.std"))
"""Names of the buffers (mean, std) with which published networks normalise their input."""
STEM = f"{BACKBONE}conv1.weight"
"""The first convolution of every family."""
USUAL_SIZE = (32, 32)
"""Height and width for building recognised networks; no such network depends on them."""
CONV, LINEAR = 4, 2
"""Number of axes of a layer's weight."""
COUNTER = "num_batches_tracked"
"""Counter of batch norm; evaluation never reads it, and checkpoints from before PyTorch 0.4.1 lack it."""
NAMED = 3
"""Number of keys that a message names."""


@dataclass(frozen=True)
class Family:
    """Networks that share the names of their layers.

    Attributes:
        architecture: robench's name of the architecture.
        last: the last layer's name.
        marks: keys that all members have; the first family whose marks are all present is taken.
        args: reads the architecture's arguments from the weights.
        unused: a submodule that the forward pass never reads, dropped by name.
    """

    architecture: str
    last: str
    marks: tuple[str, ...]
    args: Callable[[Weights], dict[str, Any]]
    usual: dict[str, Any] = field(default_factory=dict)
    """Arguments of a typical member, to find the nearest family of an unknown network."""
    unused: str = ""


@dataclass(frozen=True)
class Recognised:
    """A checkpoint in robench's terms.

    Attributes:
        architecture: name and arguments.
        input: the normalisation that the checkpoint carries, or None.
        weights: under robench's keys, `backbone.` and `head.`.
        last: the checkpoint's name of the last layer.
    """

    architecture: Architecture
    input: Input | None
    weights: Weights
    last: str

    def their_name(self, key: str) -> str:
        """Return the checkpoint's name of a key of robench."""
        return key.removeprefix(BACKBONE) if key.startswith(BACKBONE) else f"{self.last}.{key.removeprefix(HEAD)}"

    @property
    def has_bias(self) -> bool:
        """Tell whether the last layer has a bias; in hypersphere embedding it has none."""
        return f"{HEAD}bias" in self.weights


def _wide_resnet(weights: Weights) -> dict[str, Any]:
    blocks = {key.split(".")[2] for key in weights if key.startswith("block1.layer.")}
    return {"depth": 6 * len(blocks) + 4, "widen_factor": len(weights["block1.layer.0.conv1.weight"]) // 16}


def _torchvision(weights: Weights) -> dict[str, Any]:
    """Find the ResNet of torchvision with these shapes; stem and last layer may differ, as images and classes do."""
    own = {key: value.shape for key, value in weights.items() if _telling(key)}
    for name in models.list_models(models, include=["resnet*", "resnext*", "wide_resnet*"]):
        if _shapes(name) == own:
            return {"name": name}
    raise InputError("torchvision has no ResNet of this depth and width")


@cache
def _shapes(name: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        states = models.get_model(name).state_dict()
    return {key: value.shape for key, value in states.items() if _telling(key)}


def _telling(key: str) -> bool:
    """Return whether a key distinguishes one ResNet from another."""
    return not key.startswith(("conv1.", "fc.")) and not key.endswith(COUNTER)


def _none(weights: Weights) -> dict[str, Any]:
    return {}


FAMILIES = (
    Family(  # TRADES, AT_HE, and most wide ResNets since; Zhang et al. 2019, Pang et al. 2020
        "wide_resnet",
        last="fc",
        marks=("block1.layer.0.conv1.weight", "block3.layer.0.convShortcut.weight", "fc.weight"),
        args=_wide_resnet,
        usual={"depth": 34, "widen_factor": 10},
        unused="sub_block1",
    ),
    Family(  # FastAT; Wong et al. 2020
        "preact_resnet18",
        last="linear",
        marks=("bn.weight", "layer4.1.conv2.weight", "layer2.0.shortcut.0.weight", "linear.weight"),
        args=_none,
    ),
    Family(  # the ResNet-18 common on CIFAR
        "resnet18",
        last="linear",
        marks=("bn1.weight", "layer4.1.conv2.weight", "layer2.0.shortcut.1.weight", "linear.weight"),
        args=_none,
    ),
    Family(  # torchvision, and timm's networks of the same names
        "torchvision_resnet",
        last="fc",
        marks=("bn1.weight", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight", "fc.weight"),
        args=_torchvision,
        usual={"name": "resnet50"},
    ),
)


def recognise(weights: Weights, where: str) -> Recognised:
    """Recognise the network of a checkpoint by its keys and shapes.

    Raises:
        InputError: robench knows no such network; names the first keys with shapes, and the nearest family.
    """
    if _native(weights) is not None:
        raise InputError(f"weights '{where}' belong to a network of robench: evaluate the card beside them.")
    given, weights = _input(weights, where)
    family, weights = next(
        (
            (family, inner)
            for inner in peeled(weights)
            for family in FAMILIES
            if all(mark in inner for mark in (*family.marks, "conv1.weight"))
        ),
        (None, weights),
    )
    if family is None:
        raise InputError(_unknown(weights, where))
    try:
        known = Architecture(name=family.architecture, args=family.args(weights))
    except (InputError, TypeError) as error:  # a convolution that is a number has no length
        raise InputError(f"weights '{where}' look like a {family.architecture}, but {error}.") from error
    if weights["conv1.weight"].dim() != CONV or weights[f"{family.last}.weight"].dim() != LINEAR:
        raise InputError(f"weights '{where}' look like a {family.architecture}, but its first and last layers do not.")
    return Recognised(known, given, _renamed(weights, family), family.last)


def channels(weights: Weights) -> int:
    """Return the number of image channels, read from the first convolution (under robench's keys)."""
    return weights[STEM].shape[1]


def classes(weights: Weights) -> int:
    """Return the number of classes, read from the rows of the last layer (under robench's keys)."""
    return len(weights[f"{HEAD}weight"])


def in_our_terms(weights: Weights, given: Input, where: str) -> Weights:
    """Rename a checkpoint's weights to robench's keys, for a card that declares the network and its normalisation.

    Raises:
        InputError: the weights are of no known network, or bring another normalisation than the card's.
    """
    if (native := _native(weights)) is not None:
        return native
    found = recognise(weights, where)
    if found.input is not None and found.input != given:
        raise InputError(f"weights '{where}' bring a normalisation, {found.input}, that is not the card's, {given}.")
    return found.weights


def _native(weights: Weights) -> Weights | None:
    """Return the weights under robench's keys if they come from a network of robench, else None."""
    key = f"{HEAD}weight"
    return next((w for w in peeled(weights) if key in w and any(each.startswith(BACKBONE) for each in w)), None)


def _renamed(weights: Weights, family: Family) -> Weights:
    kept = {key: value for key, value in weights.items() if not (family.unused and key.startswith(f"{family.unused}."))}
    last = f"{family.last}."
    return {HEAD + key.removeprefix(last) if key.startswith(last) else BACKBONE + key: kept[key] for key in kept}


def _input(weights: Weights, where: str) -> tuple[Input | None, Weights]:
    """Split weights into the normalisation that buffers hold, if any, and the other weights."""
    pair = next((pair for pair in INPUTS if all(key in weights for key in pair)), None)
    if pair is None:
        return None, weights
    inner = {key: value for key, value in weights.items() if key not in pair}
    mean, std = (weights[key].flatten().tolist() for key in pair)
    where = f"the normalisation {', '.join(pair)} of weights '{where}'"
    given = build(Input, {"mean": mean, "std": std}, where)
    if len(mean) != len(std) or not all(isfinite(each) and each <= 1 for each in mean):
        raise InputError(f"{where} does not fit images in [0, 1]: give the network by a function instead.")
    return given, inner


def _unknown(weights: Weights, where: str) -> str:
    usual = {family.architecture: _names(family) for family in FAMILIES}
    shared = {name: len(names & weights.keys()) for name, names in usual.items()}
    nearest = max(shared, key=lambda name: shared[name] / len(usual[name] | weights.keys()))
    first = ", ".join(f"{key} {shape_of(weights[key])}" for key in list(weights)[:NAMED])
    near = "none is near"
    if shared[nearest]:
        lacking = ", ".join(sorted(usual[nearest] - weights.keys())[:NAMED])
        near = f"nearest is {nearest}, {shared[nearest]} of whose {len(usual[nearest])} names are there"
        near += f" (not {lacking})" if lacking else ""
    return (
        f"weights '{where}' ({len(weights)} tensors: {first}, ...) are of no network that robench knows; {near}: "
        f"write a function that makes it and say --model file.py:function --weights '{where}'."
    )


def _names(family: Family) -> frozenset[str]:
    with torch.device("meta"):
        states = architecture(family.architecture)(shape=(3, 32, 32), **family.usual).state_dict()
    return frozenset(states) | {f"{family.last}.weight", f"{family.last}.bias"}
