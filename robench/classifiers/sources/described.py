"""Networks of one's own, made from what the command line says of them."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from robench.classifiers.classifier import Classifier, assemble
from robench.classifiers.normalised import normalised
from robench.classifiers.sources.checkpoint import peeled, read_weights
from robench.classifiers.sources.code import FUNCTION, BuiltNetwork, make, run_function, usual_input
from robench.classifiers.sources.families import HEAD, USUAL_SIZE, Recognised, channels, classes, recognise
from robench.classifiers.sources.loading import fit, restore
from robench.errors import InputError
from robench.specs import Architecture, Head, Input, NetworkSpec, find_card
from robench.specs.network import MARK


def load_user_network(network: NetworkSpec) -> nn.Module:
    """The network with its weights and its normalisation, in evaluation mode.

    A Python file that is named runs; weights are read without running anything.

    Raises:
        InputError: it cannot be made, or the weights are of another network; says which.
    """
    return prepare(network).network


@dataclass(frozen=True)
class LoadedNetwork:
    """A network of one's own, ready.

    Attributes:
        network: in evaluation mode.
        code: what made it, a digest or a library's version; empty where robench did.
        remark: what was not said of it, and how it was therefore read; empty where nothing was left open.
    """

    network: nn.Module
    code: str = ""
    remark: str = ""


def prepare(network: NetworkSpec) -> LoadedNetwork:
    """The network as `load_user_network` gives it, with what is to be known of it.

    Raises:
        InputError: as `load_user_network`.
    """
    if network.registered:
        return LoadedNetwork(_of_card(network).eval())
    if network.checkpoint:
        found, head, given = describe(network)
        return LoadedNetwork(_recognised(network, found, head, given).eval(), remark=_remark(found, head, given))
    declared, file = declare(network), function_of(network)
    weights = None if network.weights is None else read_weights(network.weights)
    if file is None:
        made = make(declared, Path(), weights)
    else:
        ran = run_function(*file)
        made = BuiltNetwork(ran.network, ran.sha256)
    if weights is not None:
        keys = made.network.state_dict().keys()
        # Training frameworks put a name of their own before every key.
        weights = next((inner for inner in peeled(weights) if inner.keys() == keys), weights)
        fit(made.network, weights, str(network.weights))
    given = network.input or usual_input(declared, made.network) or Input()
    remark = "no --weights, the network is as the function makes it" if file and weights is None else ""
    return LoadedNetwork(normalised(made.network, given).eval(), made.code, remark)


def _remark(found: Recognised, head: Head, given: Input) -> str:
    args = ", ".join(f"{key} = {value}" for key, value in found.architecture.args.items())
    last = "hypersphere embedding" if head.kind == "he" else "linear"
    how = "not normalised" if given == Input() else f"normalised by {given.mean}, {given.std}"
    return (
        f"recognised by its keys as {found.architecture.name}{f' ({args})' if args else ''}, "
        f"last layer {last}, images {how}; if it is another, make it by a function"
    )


def function_of(network: NetworkSpec) -> tuple[Path, str] | None:
    """The file and the function that make the network; None where none does. A card's file lies in its folder."""
    card = find_card(network.name) if network.registered else None
    declared, folder = (declare(network), Path()) if card is None else (card.architecture, card.folder)
    if declared.name != FUNCTION:
        return None
    return folder / str(declared.args["file"]), str(declared.args["function"])


def feature_layer_of(network: NetworkSpec) -> str | None:
    """The layer that gives its penultimate features, as said, or as its card says."""
    return find_card(network.name).feature_layer if network.registered else network.feature_layer


def declare(network: NetworkSpec) -> Architecture:
    """What a card says of a network that others make."""
    if network.function:
        stem, _, function = network.name.rpartition(MARK)
        return Architecture(name=FUNCTION, args={"file": f"{stem}.py", "function": function})
    library, _, name = network.name.partition(":")
    return Architecture(name=library, args={"name": name})


def describe(network: NetworkSpec) -> tuple[Recognised, Head, Input]:
    """What a file of weights tells, with what is said about it besides.

    Raises:
        InputError: the weights are of no known network, or contradict what is said; or the head has to be said.
    """
    if network.weights is not None:
        raise InputError(f"--model {network.name} is a file of weights itself: leave --weights out.")
    found = recognise(read_weights(Path(network.name)), network.name)
    if found.input is not None and network.input is not None:
        raise InputError(f"weights '{network.name}' bring their normalisation: leave --mean and --std out.")
    return found, _head(found, network.head, network.name), network.input or found.input or Input()


def _recognised(network: NetworkSpec, found: Recognised, head: Head, given: Input) -> Classifier:
    where = f"weights '{network.name}'"
    weights = found.weights
    model = assemble(found.architecture, head, given, (channels(weights), *USUAL_SIZE), classes(weights), where)
    if head.kind == "linear" and not found.has_bias:
        weights = weights | {f"{HEAD}bias": torch.zeros(classes(weights))}
    fit(model, weights, network.name, found.their_name)
    return model


def _head(found: Recognised, said: Head | None, where: str) -> Head:
    """The last layer: as said, else linear where it has a bias."""
    if said is None:
        if not found.has_bias:
            raise InputError(
                f"weights '{where}': the last layer has no bias, as in hypersphere embedding: "
                "say --head he --scale 15 (its s), or --head linear if that is what it is."
            )
        return Head()
    if said.kind == "he" and found.has_bias:
        raise InputError(
            f"weights '{where}': the last layer has a bias, which hypersphere embedding has not: leave --head out."
        )
    return said


def _of_card(network: NetworkSpec) -> nn.Module:
    """The network of a card with other weights than the card's."""
    if network.weights is None:
        raise InputError(
            f"--model {network.name} is a card, and the card says all but --weights: leave --mean, --std and "
            "--feature-layer out."
        )
    if network.input is not None or network.feature_layer is not None:
        raise InputError(f"--model {network.name}: the card says normalisation and features; leave them out.")
    return restore(find_card(network.name), read_weights(network.weights), str(network.weights))
