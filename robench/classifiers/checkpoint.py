"""Weights from a file, in any usual wrapping; nothing in the file is run."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from robench.errors import InputError

Weights = dict[str, Tensor]
"""A state_dict."""
WRAPPERS = ("state_dict", "model_state_dict", "model", "net", "ema", "state_dict_ema")
"""Keys under which training scripts keep the weights; the first that is there is taken."""
PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every key."""
SCALAR = np._core.multiarray.scalar  # type: ignore[attr-defined]
PLAIN = (
    SCALAR,
    (SCALAR, "numpy.core.multiarray.scalar"),  # as NumPy 1 called it
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")),
)
"""Numbers of NumPy, which scripts keep beside the weights: an accuracy, an epoch."""


def read_weights(path: Path) -> Weights:
    """The tensors in a safetensors file, or in one of `torch.save`, without wrapping and prefixes.

    Raises:
        InputError: it is not there, truncated, something else under that name (a saved HTML page, say), carries
            code, or holds no tensors by name.
    """
    if not path.is_file():
        raise InputError(f"weights '{path}': there is no such file.")
    with path.open("rb") as stream:
        start = stream.read(64).lstrip().lower()
    if start.startswith(b"<"):
        raise InputError(f"weights '{path}': the file is an HTML page, a failed download; fetch or train it again.")
    found = _tensors(path) if path.suffix == ".safetensors" else _pickled(path)
    weights = _unwrapped(found, path)
    for prefix in PREFIXES:
        if all(key.startswith(prefix) for key in weights):
            weights = {key.removeprefix(prefix): value for key, value in weights.items()}
    return weights


def _tensors(path: Path) -> Weights:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"weights '{path}' cannot be read ({error}): fetch or train it again.") from error


def _pickled(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(list(PLAIN)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises several kinds for a damaged file, all of them final here
        if "weights_only" in str(error) or "Unsupported" in str(error):
            raise InputError(
                f"weights '{path}' hold more than tensors, which could run code: save model.state_dict() alone."
            ) from error
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"weights '{path}' cannot be read ({said}): fetch or train it again.") from error


def _unwrapped(found: object, path: Path) -> Weights:
    while isinstance(found, Mapping) and not all(isinstance(value, Tensor) for value in found.values()):
        inner = next((found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            break
        found = inner
    if not isinstance(found, Mapping) or not found or not all(isinstance(value, Tensor) for value in found.values()):
        raise InputError(f"weights '{path}' hold no tensors by name: save model.state_dict().")
    return {str(key): value for key, value in found.items()}
