"""Weights into networks and out of them: strictly, with one sentence when something does not fit."""

from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from robench.classifiers.sources.checkpoint import Checkpoint, Part, Weights, peeled, shape_of
from robench.classifiers.sources.families import COUNTER
from robench.errors import InputError
from robench.paths import atomic_path
from robench.specs import file_sha256

NAMED = 3
"""How many offending keys a message names."""


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


def fit_part(network: nn.Module, checkpoint: Checkpoint, key: str | None = None) -> str:
    """Load the part of a checkpoint whose keys are the network's, strictly.

    Returns:
        What was left out of the checkpoint, for the user; empty where nothing was.

    Raises:
        InputError: no part fits, or several do and none is chosen.
    """
    wanted = _without_counters(network.state_dict())

    def same(weights: Weights) -> bool | None:
        return _without_counters(weights) == wanted or None

    found = checkpoint.choose(sorted(wanted)[:1], same, key)
    part = found[0] if found else checkpoint.largest(key)
    fit(network, part.weights if found else _peeled_most(part.weights, wanted), str(checkpoint.path))
    return said_of(checkpoint, part)


def said_of(checkpoint: Checkpoint, part: Part, besides: int = 0) -> str:
    """Say which part of a checkpoint was taken, where tensors were left out; `besides` others were used as well."""
    left = checkpoint.left_out(part) - besides
    where = f"under '{part.name}'" if part.name else "without prefix"
    return f"weights taken from the keys {where}, {left} other tensors left out" if left else ""


def _without_counters(weights: Iterable[str]) -> frozenset[str]:
    return frozenset(key for key in weights if not key.endswith(COUNTER))


def _peeled_most(weights: Weights, wanted: frozenset[str]) -> Weights:
    """Strip the common prefix under which most keys are the network's, so that a message names the others."""
    return max(peeled(weights), key=lambda inner: len(wanted & inner.keys()), default=weights)


def save_weights(model: nn.Module, path: Path) -> str:
    """Write a network's weights atomically and return the file's sha256."""
    with atomic_path(path) as temporary:
        save_file({key: value.cpu().contiguous().clone() for key, value in model.state_dict().items()}, temporary)
    return file_sha256(path)
