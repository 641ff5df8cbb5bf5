"""Weights from disk into networks: safely, strictly, with one sentence when something does not fit."""

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from robench.classifiers.classifier import assemble
from robench.classifiers.normalised import normalised
from robench.classifiers.sources.checkpoint import Weights, read_weights, shape_of
from robench.classifiers.sources.code import OTHERS, make
from robench.classifiers.sources.families import COUNTER, STEM, USUAL_SIZE, channels, classes, in_our_terms
from robench.data import dataset_of, is_own
from robench.errors import InputError
from robench.paths import atomic_path
from robench.specs import Card, file_sha256, find_card

NAMED = 3
"""How many offending keys a message names."""


def load_model(name: str) -> nn.Module:
    """A registered defense in evaluation mode, its weights checked against the card.

    Raises:
        InputError: unknown name, no weights, wrong checksum, or keys or shapes that do not fit.
    """
    return load_card(find_card(name))


def load_card(card: Card) -> nn.Module:
    """The network of a card with its weights, in evaluation mode."""
    card.require_weights()
    actual = file_sha256(card.weights)
    if actual != card.sha256:
        raise InputError(
            f"'{card.weights}' has sha256 {actual[:12]}, its card says {card.sha256[:12]}: "
            f'restore the file, or if these weights are meant put sha256 = "{actual}" into the card.'
        )
    return restore(card, read_weights(card.weights), str(card.weights)).eval()


def restore(card: Card, weights: Weights, where: str) -> nn.Module:
    """The network that a card declares, with weights from wherever.

    Raises:
        InputError: the network cannot be made, or the weights do not fit it.
    """
    if card.architecture.name in OTHERS:
        made = make(card.architecture, card.folder, weights).network
        fit(made, weights, where)
        return normalised(made, card.input)
    weights = in_our_terms(weights, card.input, where)
    shape, rows = _sizes(card, weights)
    model = assemble(card.architecture, card.head, card.input, shape, rows, card.where)
    fit(model, weights, where)
    return model


def _sizes(card: Card, weights: Weights) -> tuple[tuple[int, int, int], int]:
    """Shape of an image and number of classes: the dataset's; with data of one's own, what the weights tell."""
    if is_own(card.dataset) and STEM in weights:
        return (channels(weights), *USUAL_SIZE), classes(weights)
    return dataset_of(card).sizes


def fit(model: nn.Module, weights: Weights, where: str, name: Callable[[str], str] = str) -> None:
    """Load weights strictly.

    Args:
        model: what they go into.
        weights: by the model's keys.
        where: they come from, for messages.
        name: what a key is called there.

    Raises:
        InputError: names the first missing, unexpected or misshapen keys.
    """
    own = model.state_dict()
    # Evaluation never reads these counters, and checkpoints from before PyTorch 0.4.1 lack them.
    weights = {key: own[key] for key in own if key.endswith(COUNTER) and key not in weights} | weights
    if odd := [key for key, value in weights.items() if not _dense(value)]:
        raise InputError(f"weights '{where}': {name(odd[0])} is {weights[odd[0]].dtype}, expected dense real numbers.")
    off = [key for key in own if key in weights and own[key].shape != weights[key].shape]
    shapes = {key: f"{name(key)} is {shape_of(weights[key])}, not {shape_of(own[key])}" for key in off}
    faults = {
        "missing": [name(key) for key in own if key not in weights],
        "unexpected": [name(key) for key in weights if key not in own],
        "of another shape": list(shapes.values()),
    }
    said = [
        f"{len(keys)} {fault} ({', '.join(keys[:NAMED])}{', ...' if len(keys) > NAMED else ''})"
        for fault, keys in faults.items()
        if keys
    ]
    if said:
        raise InputError(f"weights '{where}' do not fit the network: {'; '.join(said)}.")
    model.load_state_dict(weights)


def _dense(value: Tensor) -> bool:
    plain = value.layout == torch.strided and not value.is_quantized and not value.is_meta
    return plain and not value.is_complex() and value.dtype not in (torch.int8, torch.uint8)


def save_weights(model: nn.Module, path: Path) -> str:
    """Write a network's weights atomically and return the file's sha256."""
    with atomic_path(path) as temporary:
        save_file({key: value.cpu().contiguous().clone() for key, value in model.state_dict().items()}, temporary)
    return file_sha256(path)
