"""Load weights into networks and save them: strictly, with one sentence if something does not fit."""

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
"""Number of offending keys that a message names."""


def fit(model: nn.Module, weights: Weights, where: str, name: Callable[[str], str] = str) -> None:
    """Load weights strictly.

    Args:
        model: the network that gets the weights.
        weights: tensors under the network's keys.
        where: source of the weights, for messages.
        name: maps a key to its name in that source, for messages.

    Raises:
        InputError: names the first missing, unexpected or misshapen keys.
    """
    own = model.state_dict()
    # Evaluation never reads these counters, and checkpoints from before PyTorch 0.4.1 lack them.
    weights = {key: own[key] for key in own if key.endswith(COUNTER) and key not in weights} | weights
    real = {key for key, value in own.items() if value.is_floating_point()}
    if odd := [key for key, value in weights.items() if not _dense(value, key in real)]:
        raise InputError(
            f"weights '{where}': {name(odd[0])} is {weights[odd[0]].dtype}, but robench reads dense real numbers of 16 "
            "bits or more, no quantised weights: save them as float32."
        )
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
        raise InputError(
            f"weights '{where}' do not fit the network: {'; '.join(said)}; name other weights, or their own network."
        )
    model.load_state_dict(weights)


def _dense(value: Tensor, real: bool) -> bool:
    """Tell whether a tensor can be loaded unchanged; where the network has real numbers, integers are quantised."""
    plain = value.layout == torch.strided and not value.is_quantized and not value.is_meta and not value.is_complex()
    wide = value.dtype.itemsize > 1 or value.dtype == torch.bool
    return plain and wide and (value.is_floating_point() or not real)


def fit_part(network: nn.Module, checkpoint: Checkpoint, key: str | None = None) -> str:
    """Load the part of a checkpoint whose keys are the network's, strictly.

    Returns:
        A remark for the user on the tensors left out of the checkpoint; empty if none was left out.

    Raises:
        InputError: no part fits, or several do and none is chosen.
    """
    own = network.state_dict()
    wanted = _without_counters(own)

    def same(weights: Weights) -> bool | None:
        fits = _without_counters(weights) == wanted and all(weights[key].shape == own[key].shape for key in wanted)
        return fits or None

    found = checkpoint.choose(sorted(wanted)[:1], same, key)
    part = found[0] if found else checkpoint.largest(key)
    fit(network, part.weights if found else _peeled_most(part.weights, wanted), str(checkpoint.path))
    return said_of(checkpoint, part)


def said_of(checkpoint: Checkpoint, part: Part, besides: int = 0) -> str:
    """Name the part of a checkpoint that was taken, if tensors were left out; `besides` others were used as well."""
    left = checkpoint.left_out(part) - besides
    where = f"under '{part.name}'" if part.name else "without prefix"
    return f"weights taken from the keys {where}, {left} other tensors left out" if left else ""


def _without_counters(weights: Iterable[str]) -> frozenset[str]:
    return frozenset(key for key in weights if not key.endswith(COUNTER))


def _peeled_most(weights: Weights, wanted: frozenset[str]) -> Weights:
    """Strip the common prefix under which most keys are the network's, so that a message names the others."""
    return max(peeled(weights), key=lambda inner: len(wanted & inner.keys()), default=weights)


def tensors(model: nn.Module) -> Weights:
    """Return copies of a network's weights as a file of weights keeps them."""
    return {key: value.cpu().contiguous().clone() for key, value in model.state_dict().items()}


def save_weights(model: nn.Module, path: Path) -> str:
    """Write a network's weights atomically and return the file's sha256."""
    with atomic_path(path) as temporary:
        save_file(tensors(model), temporary)
    return file_sha256(path)
