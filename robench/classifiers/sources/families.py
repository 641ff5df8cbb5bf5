"""Checkpoints of the field, recognised by their keys.

Each family is one of robench's architectures under other names: its backbone's keys are ours, its last layer is called
differently. Which arguments the architecture had is read from the shapes.
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
"""What stands before the keys of robench's own networks."""
INPUTS = (("mu", "sigma"), ("mean", "std"), ("normalize.mean", "normalize.std"), ("0.mean", "0.std"))
"""Buffers by which published networks normalise their input themselves."""
STEM = f"{BACKBONE}conv1.weight"
"""The first convolution of every family."""
USUAL_SIZE = (32, 32)
"""Height and width by which recognised networks are built; none of them depends on it."""
CONV, LINEAR = 4, 2
"""Axes of a layer's weight."""
COUNTER = "num_batches_tracked"
"""Of batch norm; evaluation never reads it, and checkpoints from before PyTorch 0.4.1 lack it."""
NAMED = 3
"""How many keys a message names."""


@dataclass(frozen=True)
class Family:
    """Networks that name their layers alike.

    Attributes:
        architecture: robench's name for it.
        last: the last layer's name.
        marks: keys that all of them have; of the families whose marks are there, the first counts.
        args: of the architecture, from the weights.
        unused: a submodule that the forward pass never reads, dropped by name.
    """

    architecture: str
    last: str
    marks: tuple[str, ...]
    args: Callable[[Weights], dict[str, Any]]
    usual: dict[str, Any] = field(default_factory=dict)
    """Arguments of a typical one, to say what an unknown network is near to."""
    unused: str = ""


@dataclass(frozen=True)
class Recognised:
    """A checkpoint in robench's terms.

    Attributes:
        architecture: name and arguments.
        input: the normalisation the checkpoint carries, or None.
        weights: under robench's keys, `backbone.` and `head.`.
        last: what the checkpoint calls the last layer.
    """

    architecture: Architecture
    input: Input | None
    weights: Weights
    last: str

    def their_name(self, key: str) -> str:
        """What the checkpoint calls a key of robench's."""
        return key.removeprefix(BACKBONE) if key.startswith(BACKBONE) else f"{self.last}.{key.removeprefix(HEAD)}"

    @property
    def has_bias(self) -> bool:
        """Whether the last layer has one: hypersphere embedding has none."""
        return f"{HEAD}bias" in self.weights


def _wide_resnet(weights: Weights) -> dict[str, Any]:
    blocks = {key.split(".")[2] for key in weights if key.startswith("block1.layer.")}
    return {"depth": 6 * len(blocks) + 4, "widen_factor": len(weights["block1.layer.0.conv1.weight"]) // 16}


def _torchvision(weights: Weights) -> dict[str, Any]:
    """Which ResNet of torchvision has these shapes; stem and last layer may differ with the images and classes."""
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
    """Whether a key tells one ResNet from another."""
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
    Family(  # torchvision, and timm's of the same names
        "torchvision_resnet",
        last="fc",
        marks=("bn1.weight", "layer1.0.conv1.weight", "layer2.0.downsample.0.weight", "fc.weight"),
        args=_torchvision,
        usual={"name": "resnet50"},
    ),
)


def recognise(weights: Weights, where: str) -> Recognised:
    """What network a checkpoint's keys and shapes tell of.

    Raises:
        InputError: none that robench knows; names the first keys with shapes, and the nearest one.
    """
    if _native(weights) is not None:
        raise InputError(f"weights '{where}' are of a network of robench's own: evaluate the card beside them.")
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
    """Of the images of a recognised network, under robench's keys: the first convolution's."""
    return weights[STEM].shape[1]


def classes(weights: Weights) -> int:
    """Of a network under robench's keys: the last layer's rows."""
    return len(weights[f"{HEAD}weight"])


def in_our_terms(weights: Weights, given: Input, where: str) -> Weights:
    """A checkpoint's weights under robench's keys, for a card that declares the network and its normalisation.

    Raises:
        InputError: they are of no known network, or bring another normalisation.
    """
    if (native := _native(weights)) is not None:
        return native
    found = recognise(weights, where)
    if found.input is not None and found.input != given:
        raise InputError(f"weights '{where}' bring a normalisation, {found.input}, that is not the card's, {given}.")
    return found.weights


def _native(weights: Weights) -> Weights | None:
    """The weights as a network of robench's own names them, or None if they are none of one."""
    key = f"{HEAD}weight"
    return next((w for w in peeled(weights) if key in w and any(each.startswith(BACKBONE) for each in w)), None)


def _renamed(weights: Weights, family: Family) -> Weights:
    kept = {key: value for key, value in weights.items() if not (family.unused and key.startswith(f"{family.unused}."))}
    last = f"{family.last}."
    return {HEAD + key.removeprefix(last) if key.startswith(last) else BACKBONE + key: kept[key] for key in kept}


def _input(weights: Weights, where: str) -> tuple[Input | None, Weights]:
    """The normalisation that buffers hold, if any, and the other weights."""
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
