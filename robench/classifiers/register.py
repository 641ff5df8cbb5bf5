"""Write a card for a network that was trained elsewhere, after trying the network."""

import os
import shutil
from pathlib import Path

import tomlkit
import torch
from torch import Tensor

from robench.classifiers import load_card, save_weights
from robench.classifiers.frozen import frozen_network
from robench.classifiers.outputs import TWICE, check_clean, check_repeatable
from robench.classifiers.place import Place, keep_others
from robench.classifiers.saved import inner
from robench.classifiers.seeded import seeded
from robench.classifiers.sources import FunctionResult, Loaded, resolve
from robench.classifiers.sources.function import FUNCTION
from robench.classifiers.sources.programs import PROGRAMS
from robench.classifiers.user_images import fitted
from robench.data import Dataset
from robench.data.reading import Reading
from robench.data.split import Split
from robench.errors import InputError
from robench.paths import atomic_folder, write_text
from robench.specs import (
    CARD,
    WEIGHTS,
    Architecture,
    Card,
    Head,
    NetworkSpec,
    ThreatModel,
    read_card,
)

TRIED = 2
"""Number of images on which a network is tried."""
CPU = torch.device("cpu")


def samples(data: Dataset, data_dir: Path | None = None) -> tuple[Split, str]:
    """Return a few examples of the dataset to try a network on; if the dataset is missing, noise and the reason.

    Raises:
        InputError: the user's data cannot be read.
    """
    try:
        return data.load("test", data_dir, limit=TRIED), ""
    except InputError as error:
        if data.shape is None:
            raise
        noise = torch.rand(TRIED, *data.shape, generator=torch.Generator().manual_seed(0))
        return Split.checked(data.name, noise, torch.zeros(TRIED, dtype=torch.int64)), str(error)


def register(
    network: NetworkSpec, data: Dataset, dataset: str, tried: Split, place: Place, threat: ThreatModel | None = None
) -> Card:
    """Write `OUT/<dataset>/<name>/` with card, weights and the code of a function, completely or not at all.

    Args:
        network: the network that gets a card.
        data: the dataset that the network classifies.
        dataset: the same dataset, as written on the command line.
        tried: examples that the network must be able to take.
        place: name and place of the card.
        threat: the threat model that the card declares; None for that of the dataset.

    Raises:
        InputError: the network cannot be made, is a program, does not fit the data, or has no such feature layer;
            the card would not rebuild the network; the name is no valid folder name, or the folder exists already.
    """
    folder = place.folder(dataset)
    loaded = resolve(network)
    if loaded.architecture.name in PROGRAMS:
        raise InputError(
            f"--model {network.name} is a program, but a card keeps a network as code and weights: evaluate the "
            "program by its own name, robench eval --model."
        )
    if data.place is not None:
        tried = fitted(tried, loaded.network, CPU, lambda names: data.named(names).load(limit=TRIED))
    logits = _try(loaded, data, tried)
    with atomic_folder(folder, replace=place.replace) as temporary:
        architecture = loaded.architecture
        if loaded.function is not None:
            architecture = _with_code(architecture, loaded.function, temporary)
        sha256 = save_weights(inner(loaded.network), temporary / WEIGHTS)
        text = _text(_seen_from(folder, dataset), place.about, sha256, loaded, architecture, threat, data.reading)
        write_text(temporary / CARD, text)
        if folder.is_dir():
            keep_others(folder, temporary)
        _try_card(temporary, folder, tried, logits)
    return read_card(folder)


def _try(loaded: Loaded, data: Dataset, tried: Split) -> Tensor:
    """Try the network on a few examples and return their logits (N, K).

    Raises:
        InputError: the network gives no usable logits or another number of classes, or the layer gives no features.
    """
    with frozen_network(loaded.network, CPU) as network:
        x = tried.x[:]
        with seeded(0):  # a random network may have a card, too
            logits = network.predict(x)
        classes = network.classes(logits)
        if data.classes not in (None, classes):
            raise InputError(
                f"the network gives {classes} classes, but '{data.name}' has {data.classes}: "
                "name the dataset that it classifies with --dataset."
            )
        check_clean(logits, tried.y, tried.ids, classes)
        with seeded(0):
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
    """Return a dataset's name; for user data, with its path relative to the card's folder."""
    kind, colon, place = dataset.partition(":")
    if not colon:
        return kind
    there = Path(place).absolute()  # if a folder is a link, `..` from it leads elsewhere
    return f"{kind}:{Path(os.path.relpath(there.parent.resolve() / there.name, folder)).as_posix()}"


def _text(
    dataset: str,
    about: str,
    sha256: str,
    loaded: Loaded,
    architecture: Architecture,
    threat: ThreatModel | None,
    read: Reading,
) -> str:
    reading = {"resize": read.resize, "crop": read.crop, "classes": list(read.classes) or None}
    reading = {key: value for key, value in reading.items() if value is not None}
    document = {
        "dataset": dataset,
        "about": about,
        "norm": threat.norm if threat else None,
        "eps": threat.text if threat else None,
        "sha256": sha256,
        "feature_layer": loaded.feature_layer,
        "single_logit": loaded.single_logit or None,
        "rejects": loaded.rejects,
        "reading": reading or None,
        "architecture": architecture.model_dump(),
        "head": loaded.head.model_dump(exclude_defaults=loaded.head == Head()),
        "input": loaded.input.model_dump(),
    }
    return tomlkit.dumps({key: value for key, value in document.items() if value is not None})


def _try_card(temporary: Path, folder: Path, tried: Split, logits: Tensor) -> None:
    """Check that the card rebuilds the network for which it is written.

    Raises:
        InputError: the card does not load, or its network gives other logits.
    """
    try:
        with frozen_network(load_card(read_card(temporary)), CPU) as network, seeded(0):
            again = network.predict(tried.x[:])
    except InputError as error:
        said = str(error).replace(str(temporary), str(folder))
        raise InputError(f"the card would not load, so it was not written: {said}") from error
    if again.shape != logits.shape or (again - logits).abs().max() > TWICE * max(logits.abs().max().item(), 1.0):
        raise InputError(
            f"the card would give other logits than '{folder.name}', so it was not written: "
            "everything but the weights must be the same each time the network is made."
        )
