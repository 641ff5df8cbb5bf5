"""A card for a network that was trained elsewhere, tried before it is written."""

import os
import shutil
from pathlib import Path

import tomlkit
import torch
from torch import Tensor, nn

from robench.classifiers import load_card, save_weights
from robench.classifiers.frozen import TWICE, check_clean, check_repeatable, frozen_network
from robench.classifiers.normalised import Normalised
from robench.classifiers.sources import FunctionResult, Loaded, resolve
from robench.classifiers.sources.function import FUNCTION
from robench.data import Dataset
from robench.data.split import Split
from robench.errors import InputError
from robench.paths import atomic_folder, require_name, write_text
from robench.specs import (
    CARD,
    WEIGHTS,
    Architecture,
    Card,
    Head,
    NetworkSpec,
    dataset_label,
    read_card,
)

TRIED = 2
"""On how many images a network is tried."""
CPU = torch.device("cpu")


def samples(data: Dataset, data_dir: Path | None = None) -> tuple[Split, str]:
    """A few examples to try a network on: the dataset's; noise of their size, and why, where it is not here.

    Raises:
        InputError: data of one's own is damaged.
    """
    try:
        return data.load("test", data_dir, limit=TRIED), ""
    except InputError as error:
        if data.shape is None:
            raise
        noise = torch.rand(TRIED, *data.shape, generator=torch.Generator().manual_seed(0))
        return Split.checked(data.name, noise, torch.zeros(TRIED, dtype=torch.int64)), str(error)


def register(network: NetworkSpec, data: Dataset, dataset: str, tried: Split, name: str, about: str, out: Path) -> Card:
    """Write `OUT/<dataset>/<name>/` with card, weights and the code of a function: all of it, or nothing.

    Args:
        network: what to write a card for.
        data: what it classifies.
        dataset: the same as on the command line.
        tried: examples that it must be able to take.
        name: of the defense.
        about: one line.
        out: the registry, or any folder.

    Raises:
        InputError: the network cannot be made, does not go with the data, or has no such feature layer; the card
            would not give it back; the name cannot be a folder's, or something is there already.
    """
    require_name(name, "--name")
    folder = out.resolve() / dataset_label(dataset) / name
    if os.path.lexists(folder):
        raise InputError(f"'{folder}' is there already: choose another --name, or remove that folder.")
    loaded = resolve(network)
    logits = _try(loaded, data, tried)
    with atomic_folder(folder) as temporary:
        architecture = loaded.architecture
        if loaded.function is not None:
            architecture = _with_code(architecture, loaded.function, temporary)
        sha256 = save_weights(_inner(loaded.network), temporary / WEIGHTS)
        write_text(temporary / CARD, _text(_seen_from(folder, dataset), about, sha256, loaded, architecture))
        _try_card(temporary, folder, tried, logits)
    return read_card(folder)


def _inner(made: nn.Module) -> nn.Module:
    """The network without the normalisation before it."""
    return made.network if isinstance(made, Normalised) else made


def _try(loaded: Loaded, data: Dataset, tried: Split) -> Tensor:
    """The logits (N, K) of a few examples.

    Raises:
        InputError: they are none, there are too few classes, or the layer gives no features.
    """
    with frozen_network(loaded.network, CPU) as network:
        x = tried.x[:]
        logits = network.predict(x)
        if data.classes not in (None, logits.shape[1]):
            raise InputError(
                f"the network gives {logits.shape[1]} classes, but '{data.name}' has {data.classes}: "
                "name with --dataset what it classifies."
            )
        check_clean(logits, tried.y, tried.ids)
        check_repeatable(logits, network.predict(x))
        if loaded.feature_layer is not None:
            network.with_features(loaded.feature_layer, network.predict, x[:1])
    return logits


def _with_code(declared: Architecture, function: FunctionResult, folder: Path) -> Architecture:
    """Copy the function's file and what it imports from its folder; return the architecture that names the copies."""
    for source in function.sources:
        copy = folder / source.relative_to(function.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copy)
    args = {**declared.args, "file": Path(declared.args["file"]).name, "sha256": function.sha256}
    return Architecture(name=FUNCTION, args=args)


def _seen_from(folder: Path, dataset: str) -> str:
    """A dataset's name; the place of one's own data as the card's folder sees it."""
    kind, colon, place = dataset.partition(":")
    if not colon:
        return kind
    there = Path(place).absolute()  # `..` leads elsewhere out of a folder that is a link
    return f"{kind}:{Path(os.path.relpath(there.parent.resolve() / there.name, folder)).as_posix()}"


def _text(dataset: str, about: str, sha256: str, loaded: Loaded, architecture: Architecture) -> str:
    document = {
        "dataset": dataset,
        "about": about,
        "sha256": sha256,
        "feature_layer": loaded.feature_layer,
        "architecture": architecture.model_dump(),
        "head": loaded.head.model_dump(exclude_defaults=loaded.head == Head()),
        "input": loaded.input.model_dump(),
    }
    return tomlkit.dumps({key: value for key, value in document.items() if value is not None})


def _try_card(temporary: Path, folder: Path, tried: Split, logits: Tensor) -> None:
    """The card gives the very network it is written for.

    Raises:
        InputError: it does not load, or gives other logits.
    """
    try:
        with frozen_network(load_card(read_card(temporary)), CPU) as network:
            again = network.predict(tried.x[:])
    except InputError as error:
        said = str(error).replace(str(temporary), str(folder))
        raise InputError(f"the card would not load, so it was not written: {said}") from error
    if again.shape != logits.shape or (again - logits).abs().max() > TWICE * max(logits.abs().max().item(), 1.0):
        raise InputError(
            f"the card would give other logits than '{folder.name}', so it was not written: "
            "what is no weight must be the same each time the network is made."
        )
