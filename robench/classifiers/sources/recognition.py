"""Recognise a checkpoint: its family, the arguments of its architecture, and settings that its keys do not show."""

from dataclasses import dataclass
from functools import cache
from math import isfinite

import torch

from robench.classifiers.architectures import architecture
from robench.classifiers.sources.checkpoint import Checkpoint, Part, Weights, shape_of
from robench.classifiers.sources.families import FAMILIES, Family
from robench.classifiers.sources.fitting import said_of
from robench.errors import InputError, unknown
from robench.specs import Architecture, Input
from robench.specs.base import build

BACKBONE, HEAD = "backbone.", "head."
"""Prefixes of the keys of robench's networks."""
INPUT_PAIRS = (("mu", "sigma"), ("mean", "std"), ("new_mean", "new_std"))
"""Names of the buffers (mean, std) with which published networks normalise their input."""
USUAL_SIZE = (32, 32)
"""Height and width for building recognised networks; no such network depends on them."""
CONV, LINEAR, RGB = 4, 2, 3
"""Number of axes of a layer's weight (two kinds), and of channels of a colour image."""
NAMED = 3
"""Number of keys that a message names."""
CIFAR10 = "--mean 0.4914,0.4822,0.4465 --std 0.2471,0.2435,0.2616"
"""CIFAR-10's usual normalisation, on the command line."""


@dataclass(frozen=True)
class Recognised:
    """A checkpoint in robench's terms.

    Attributes:
        family: the family of its keys.
        architecture: name and arguments, without those of a variant.
        input: the normalisation that buffers of the checkpoint hold, or None.
        weights: tensors under robench's keys, `backbone.` and `head.`.
        remark: the part of the file that was taken; empty if nothing was left out.
    """

    family: Family
    architecture: Architecture
    input: Input | None
    weights: Weights
    remark: str = ""

    @property
    def channels(self) -> int:
        """Number of image channels, read from the first convolution."""
        return self.weights[BACKBONE + self.family.stem].shape[1]

    @property
    def classes(self) -> int:
        """Number of classes, read from the rows of the last layer."""
        return len(self.weights[f"{HEAD}weight"])

    @property
    def has_bias(self) -> bool:
        """Tell whether the last layer has a bias; in hypersphere embedding it has none."""
        return f"{HEAD}bias" in self.weights

    def their_name(self, key: str) -> str:
        """Return the checkpoint's name of a key of robench."""
        if key.startswith(BACKBONE):
            return key.removeprefix(BACKBONE)
        return f"{self.family.last}.{key.removeprefix(HEAD)}"

    def as_variant(self, name: str | None) -> Architecture:
        """Return the architecture of a variant, or of the family if there are no variants.

        Raises:
            InputError: there is no such variant.
        """
        if name is None and not self.family.variants:
            return self.architecture
        if name is None or name not in self.family.variants:
            raise unknown(f"variant of {self.family.architecture}", str(name), list(self.family.variants))
        chosen = self.family.variants[name]
        args = {**self.architecture.args, **chosen.args}
        return Architecture(name=chosen.architecture or self.architecture.name, args=args)

    def require_said(self, where: str, variant: str | None, given: Input | None) -> None:
        """Check that the user gives every setting that the keys do not show.

        Raises:
            InputError: a setting is missing; names every possibility and the options that choose it.
        """
        asked: dict[str, str] = {}
        if self.family.variants and variant is None:
            ways = (f"--variant {name} ({each.what})" for name, each in self.family.variants.items())
            asked["its variant"] = f"add {' or '.join(ways)}"
        if self.input is None and given is None:
            usual = f"{CIFAR10} (CIFAR-10's)" if self.channels == RGB else "--mean M --std S"
            asked["the normalisation of its images"] = (
                f"add --mean none if the network takes images as they are, as in TRADES, or {usual} if its code "
                "normalises them, as in AT_HE and fast_adversarial"
            )
        if asked:
            raise InputError(
                f"weights '{where}' are a {self.family.architecture}, but the keys do not tell {' and '.join(asked)}: "
                f"{'; '.join(asked.values())}."
            )


def recognise(checkpoint: Checkpoint, key: str | None = None) -> Recognised:
    """Recognise the network of a checkpoint by its keys and shapes.

    Args:
        checkpoint: the tensors of a file.
        key: beginning of the name of the part to take, if the file holds several networks.

    Raises:
        InputError: robench knows no such network, and the message names the first keys with shapes and the nearest
            network; or several networks are in the file.
    """
    where = str(checkpoint.path)
    if native(checkpoint, key) is not None:
        raise InputError(f"weights '{where}' belong to a network of robench: evaluate the card beside them.")
    found = checkpoint.choose([family.stem for family in FAMILIES], _family, key)
    if found is None:
        raise InputError(_unknown(checkpoint.largest(key).weights, where))
    part, family = found
    given, used = _input(checkpoint, part)
    weights = {key: value for key, value in part.weights.items() if part.prefix + key not in used}
    try:
        known = Architecture(name=family.architecture, args=family.args(weights))
    except (InputError, TypeError, KeyError) as error:  # a convolution that is a number has no length
        raise InputError(f"weights '{where}' look like a {family.architecture}, but {error}.") from error
    if weights[family.stem].dim() != CONV or weights[f"{family.last}.weight"].dim() != LINEAR:
        raise InputError(f"weights '{where}' look like a {family.architecture}, but its first and last layers do not.")
    besides = len(used) - (len(part.weights) - len(weights))
    return Recognised(family, known, given, _renamed(weights, family), said_of(checkpoint, part, besides))


def native(checkpoint: Checkpoint, key: str | None = None) -> Part | None:
    """Return the part with the keys of robench's networks, or None if there is none."""
    found = checkpoint.choose([f"{HEAD}weight"], _is_native, key)
    return None if found is None else found[0]


def _is_native(weights: Weights) -> bool | None:
    return any(key.startswith(BACKBONE) for key in weights) or None


def _family(weights: Weights) -> Family | None:
    return next((family for family in FAMILIES if family.fits(weights)), None)


def _renamed(weights: Weights, family: Family) -> Weights:
    kept = {key: value for key, value in weights.items() if not (family.unused and key.startswith(f"{family.unused}."))}
    last = f"{family.last}."
    return {HEAD + key.removeprefix(last) if key.startswith(last) else BACKBONE + key: kept[key] for key in kept}


def _input(checkpoint: Checkpoint, part: Part) -> tuple[Input | None, frozenset[str]]:
    """Read the normalisation that buffers beside or inside a network hold, if any; return the buffers' keys, too.

    Raises:
        InputError: the buffers hold no normalisation of images in [0, 1], or several different ones.
    """
    state = checkpoint.states[part.state]
    found: dict[tuple[str, str], Input] = {}
    for names in INPUT_PAIRS:
        for mean_key in (key for key in state if key.rpartition(".")[2] == names[0]):
            scope = mean_key.removesuffix(names[0])
            keys = mean_key, scope + names[1]
            if keys[1] in state and _stands_before(scope, part.prefix):
                found[keys] = _normalisation(state, keys, str(checkpoint.path))
    different = [given for at, given in enumerate(found.values()) if given not in list(found.values())[:at]]
    used = frozenset(key for keys in found for key in keys)
    if len(different) > 1:
        raise InputError(
            f"weights '{checkpoint.path}' bring {len(different)} different normalisations ({', '.join(sorted(used))}): "
            "give the network by a function instead."
        )
    return (different[0] if different else None), used


def _stands_before(scope: str, prefix: str) -> bool:
    """Tell whether a module with this prefix normalises for a network: it is the network, its child or its sibling."""
    outer = scope.removesuffix(".").rpartition(".")[0]
    return scope == prefix or (f"{outer}." if outer else "") in (prefix, _parent(prefix))


def _parent(prefix: str) -> str:
    outer = prefix.removesuffix(".").rpartition(".")[0]
    return f"{outer}." if outer else ""


def _normalisation(state: Weights, keys: tuple[str, str], where: str) -> Input:
    mean, std = (state[key].flatten().tolist() for key in keys)
    where = f"the normalisation {', '.join(keys)} of weights '{where}'"
    given = build(Input, {"mean": mean, "std": std}, where)
    if len(mean) != len(std) or not all(isfinite(each) and each <= 1 for each in mean):
        raise InputError(f"{where} does not fit images in [0, 1]: give the network by a function instead.")
    return given


def _unknown(weights: Weights, where: str) -> str:
    nearest, names = max(_usual(), key=lambda each: len(each[1] & weights.keys()) / len(each[1] | weights.keys()))
    shared = len(names & weights.keys())
    first = ", ".join(f"{key} {shape_of(weights[key])}" for key in list(weights)[:NAMED])
    near = "none is near"
    if shared:
        lacking = ", ".join(sorted(names - weights.keys())[:NAMED])
        near = f"nearest is {nearest}, {shared} of whose {len(names)} names are there"
        near += f" (not {lacking})" if lacking else ""
    return (
        f"weights '{where}' ({len(weights)} tensors: {first}, ...) are of no network that robench knows; {near}: "
        f"write a function that makes it and say --model file.py:function --weights '{where}'."
    )


@cache
def _usual() -> list[tuple[str, frozenset[str]]]:
    """Return the architecture of each family and the names of its tensors."""
    return [(family.architecture, _names(family)) for family in FAMILIES]


def _names(family: Family) -> frozenset[str]:
    with torch.device("meta"):
        states = architecture(family.architecture)(shape=(3, 32, 32), **family.usual).state_dict()
    return frozenset(states) | {f"{family.last}.weight", f"{family.last}.bias"}
