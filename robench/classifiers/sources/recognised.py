"""Networks recognised by the keys of a file of weights (`robench.classifiers.sources.families`).

A TorchScript program has the endings of such files; it is recognised here and loaded by its own source.
"""

from pathlib import Path

import torch

from robench.classifiers.classifier import Classifier, assemble
from robench.classifiers.sources import torchscript
from robench.classifiers.sources.checkpoint import read_checkpoint
from robench.classifiers.sources.fitting import fit
from robench.classifiers.sources.loaded import Loaded
from robench.classifiers.sources.recognition import HEAD, USUAL_SIZE, Recognised, recognise
from robench.errors import InputError
from robench.specs import Architecture, Head, Input, NetworkSpec


def resolve(spec: NetworkSpec) -> Loaded:
    """Build the network that keys and shapes describe, with the user's settings.

    Raises:
        InputError: the weights are of no known network or contradict the user's settings, or the head must be given.
    """
    if spec.weights is not None:
        raise InputError(f"--model {spec.name} is a file of weights itself: leave --weights out.")
    if torchscript.is_torchscript(Path(spec.name)):
        return torchscript.resolve(spec)
    found = recognise(read_checkpoint(Path(spec.name)), spec.key)
    if found.input is not None and spec.input is not None:
        raise InputError(f"weights '{spec.name}' bring their normalisation: leave --mean and --std out.")
    if spec.variant is not None and not found.family.variants:
        raise InputError(f"a {found.family.architecture} has no variants: leave --variant {spec.variant} out.")
    found.require_said(spec.name, spec.variant, spec.input)
    architecture, head = found.as_variant(spec.variant), _head(found, spec.head, spec.name)
    given, source = (found.input, "of the checkpoint") if found.input is not None else (spec.input, "as said")
    assert given is not None  # `require_said` has checked it
    return Loaded(
        network=_built(spec.name, found, architecture, head, given).eval(),
        architecture=architecture,
        head=head,
        input=given,
        input_source=source,
        feature_layer=spec.feature_layer,
        remark="; ".join(filter(None, (_remark(architecture, head), found.remark))),
    )


def _built(name: str, found: Recognised, architecture: Architecture, head: Head, given: Input) -> Classifier:
    weights, shape = found.weights, (found.channels, *USUAL_SIZE)
    network = assemble(architecture, head, given, shape, found.classes, f"weights '{name}'")
    if head.kind == "linear" and not found.has_bias:
        weights = weights | {f"{HEAD}bias": torch.zeros(found.classes)}
    fit(network, weights, name, found.their_name)
    return network


def _remark(architecture: Architecture, head: Head) -> str:
    args = ", ".join(f"{key} = {value}" for key, value in architecture.args.items())
    last = "hypersphere embedding" if head.kind == "he" else "linear"
    return (
        f"recognised by its keys as {architecture.name}{f' ({args})' if args else ''}, last layer {last}; "
        "if this is wrong, name a function that makes the network"
    )


def _head(found: Recognised, said: Head | None, where: str) -> Head:
    """Return the last layer as the user says; if the user does not say, linear, which needs a bias."""
    if said is None:
        if not found.has_bias:
            raise InputError(
                f"weights '{where}': the last layer has no bias, as in hypersphere embedding: "
                "say --head he --scale 15 (its s), --head fn, wn, fnwn or mhe, or --head linear if that is what it is."
            )
        return Head()
    if said.kind == "he" and found.has_bias:
        raise InputError(
            f"weights '{where}': the last layer has a bias, but hypersphere embedding has none: leave --head out."
        )
    return said
