"""A card for a network that was trained elsewhere, so that it joins the registry."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import tomlkit
from torch import nn

from robench.classifiers import load_card, load_own, save_weights
from robench.classifiers.made import FUNCTION, usual_input
from robench.classifiers.normalised import Normalised
from robench.classifiers.own import declare, describe
from robench.errors import InputError
from robench.paths import require_name, write_text
from robench.specs import (
    CARD,
    WEIGHTS,
    Architecture,
    Card,
    Head,
    Input,
    Network,
    dataset_label,
    file_sha256,
    find_card,
    read_card,
)


@dataclass(frozen=True)
class Described:
    """What a card says of a network."""

    architecture: Architecture
    head: Head
    input: Input


def register(network: Network, dataset: str, name: str, about: str, out: Path) -> Card:
    """Write `OUT/<dataset>/<name>/` with card and weights, and with the Python file of a function.

    Raises:
        InputError: the network cannot be made, the name cannot be a folder's, or a card is there already.
    """
    require_name(name, "--name")
    folder = (out / dataset_label(dataset) / name).resolve()
    if (folder / CARD).exists():
        raise InputError(f"'{folder / CARD}' is there already: choose another --name, or remove that folder.")
    made = load_own(network)
    said = _described(network)
    if said.architecture.name == FUNCTION:
        said = _with_file(said, folder)
    sha256 = save_weights(made.network if isinstance(made, Normalised) else made, folder / WEIGHTS)
    write_text(folder / CARD, _text(_seen_from(folder, dataset), about, sha256, network.feature_layer, said))
    card = read_card(folder)
    _check(card, made)
    return card


def _described(network: Network) -> Described:
    if network.checkpoint:
        found, head, given = describe(network)
        return Described(found.architecture, head, given)
    if network.registered:
        card = find_card(network.name)
        return Described(card.architecture, card.head, card.input)
    declared = declare(network)
    return Described(declared, Head(), network.input or usual_input(declared) or Input())


def _with_file(said: Described, folder: Path) -> Described:
    """The function's file copied beside the card; what it imports has to lie there too."""
    file = Path(said.architecture.args["file"])
    folder.mkdir(parents=True, exist_ok=True)
    copy = Path(shutil.copy(file, folder / file.name))
    args = {**said.architecture.args, "file": file.name, "sha256": file_sha256(copy)}
    return Described(Architecture(name=FUNCTION, args=args), said.head, said.input)


def _seen_from(folder: Path, dataset: str) -> str:
    """A dataset's name; the place of one's own data as the card's folder sees it."""
    kind, colon, place = dataset.partition(":")
    return f"{kind}:{Path(os.path.relpath(place, folder)).as_posix()}" if colon else kind


def _text(dataset: str, about: str, sha256: str, layer: str | None, said: Described) -> str:
    document = {
        "dataset": dataset,
        "about": about,
        "sha256": sha256,
        "feature_layer": layer,
        "architecture": said.architecture.model_dump(),
        "head": said.head.model_dump(exclude_defaults=said.head == Head()),
        "input": said.input.model_dump(),
    }
    return tomlkit.dumps({key: value for key, value in document.items() if value is not None})


def _check(card: Card, made: nn.Module) -> None:
    """The card gives the very network it was written for.

    Raises:
        InputError: it does not.
    """
    there, here = load_card(card).state_dict(), made.state_dict()
    off = [key for key in here if key not in there or not there[key].equal(here[key].cpu())]
    if off:
        raise InputError(f"{card.where} does not give the same weights ({off[0]}): is the function always the same?")
