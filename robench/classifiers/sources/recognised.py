"""Networks recognised by the keys of a file of weights (`robench.classifiers.sources.families`)."""

from pathlib import Path

import torch

from robench.classifiers.classifier import Classifier, assemble
from robench.classifiers.sources.checkpoint import read_weights
from robench.classifiers.sources.families import HEAD, USUAL_SIZE, Recognised, channels, classes, recognise
from robench.classifiers.sources.fitting import fit
from robench.classifiers.sources.loaded import Loaded
from robench.errors import InputError
from robench.specs import Head, Input, NetworkSpec


def resolve(spec: NetworkSpec) -> Loaded:
    """Build the network that keys and shapes describe, with the user's settings.

    Raises:
        InputError: the weights are of no known network or contradict the user's settings, or the head must be given.
    """
    if spec.weights is not None:
        raise InputError(f"--model {spec.name} is a file of weights itself: leave --weights out.")
    found = recognise(read_weights(Path(spec.name)), spec.name)
    if found.input is not None and spec.input is not None:
        raise InputError(f"weights '{spec.name}' bring their normalisation: leave --mean and --std out.")
    head, given = _head(found, spec.head, spec.name), spec.input or found.input or Input()
    return Loaded(
        network=_built(spec.name, found, head, given).eval(),
        architecture=found.architecture,
        head=head,
        input=given,
        feature_layer=spec.feature_layer,
        remark=_remark(found, head, given),
    )


def _built(name: str, found: Recognised, head: Head, given: Input) -> Classifier:
    where, weights = f"weights '{name}'", found.weights
    network = assemble(found.architecture, head, given, (channels(weights), *USUAL_SIZE), classes(weights), where)
    if head.kind == "linear" and not found.has_bias:
        weights = weights | {f"{HEAD}bias": torch.zeros(classes(weights))}
    fit(network, weights, name, found.their_name)
    return network


def _remark(found: Recognised, head: Head, given: Input) -> str:
    args = ", ".join(f"{key} = {value}" for key, value in found.architecture.args.items())
    last = "hypersphere embedding" if head.kind == "he" else "linear"
    how = "not normalised" if given == Input() else f"normalised by {given.mean}, {given.std}"
    return (
        f"recognised by its keys as {found.architecture.name}{f' ({args})' if args else ''}, "
        f"last layer {last}, images {how}; if this is wrong, name a function that makes the network"
    )


def _head(found: Recognised, said: Head | None, where: str) -> Head:
    """Return the last layer as the user says; if the user does not say, linear, which needs a bias."""
    if said is None:
        if not found.has_bias:
            raise InputError(
                f"weights '{where}': the last layer has no bias, as in hypersphere embedding: "
                "say --head he --scale 15 (its s), or --head linear if that is what it is."
            )
        return Head()
    if said.kind == "he" and found.has_bias:
        raise InputError(
            f"weights '{where}': the last layer has a bias, but hypersphere embedding has none: leave --head out."
        )
    return said
