"""Read weights from a file in any usual wrapping, without running code from the file."""

import re
import warnings
from collections.abc import Iterator, Mapping
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
"""Keys under which training scripts keep the weights; the first present key is taken, else the only state_dict."""
DEPTH = 8
"""Largest number of wrappings that are removed."""
BLANK = b"\xef\xbb\xbf \t\r\n"
"""Bytes that may come before a text."""
NO_WEIGHTS = {
    b"<": "an HTML page, a failed download",
    b"version https://git-lfs": "a Git LFS pointer, not what it points to (git lfs pull)",
}
"""Kinds of files that hold no weights, by their first bytes."""
SHOWN = 5
SCALAR = np._core.multiarray.scalar  # type: ignore[attr-defined]
PLAIN = (
    SCALAR,
    (SCALAR, "numpy.core.multiarray.scalar"),  # as NumPy 1 called it
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f2", "f4", "f8", "i4", "i8", "?")),
)
"""NumPy types of numbers that scripts keep beside the weights, such as an accuracy or an epoch."""


def read_weights(path: Path) -> Weights:
    """Read the tensors in a safetensors file, or in a file of `torch.save`, without wrapping.

    Raises:
        InputError: the file is missing, truncated or of another kind (a saved HTML page, say), carries code,
            or holds no tensors by name.
    """
    if not path.is_file():
        raise InputError(f"weights '{path}': there is no such file.")
    with path.open("rb") as stream:
        start = stream.read(1024)
    for begins, what in NO_WEIGHTS.items():
        if start.lstrip(BLANK).lower().startswith(begins):
            raise InputError(f"weights '{path}': the file is {what}; fetch or train it again.")
    # Eight bytes of length, then JSON: safetensors, whatever the file is called.
    found = _tensors(path) if path.suffix == ".safetensors" or start[8:9] == b"{" else _pickled(path)
    return _unwrapped(found, path)


def peeled(weights: Weights) -> Iterator[Weights]:
    """Yield the weights, then repeatedly without the first part of all keys, as long as all keys share that part.

    DataParallel adds `module.`, torch.compile `_orig_mod.`, training frameworks add other names.
    """
    while weights:
        yield weights
        first, dot, _ = next(iter(weights)).partition(".")
        if not dot or not all(key.startswith(first + dot) for key in weights):
            return
        weights = {key.removeprefix(first + dot): value for key, value in weights.items()}


def _tensors(path: Path) -> Weights:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"weights '{path}' cannot be read ({error}): fetch or train it again.") from error


def _pickled(path: Path) -> object:
    try:
        with torch.serialization.safe_globals(list(PLAIN)), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a warning about TorchScript, which is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises several kinds for a damaged file, all of them final here
        said = str(error)
        if kind := re.search(r"GLOBAL (\S+) was not an allowed", said):
            raise InputError(
                f"weights '{path}' hold a {kind[1]} beside tensors, which could run code: save model.state_dict()."
            ) from error
        if "TorchScript" in said:
            raise InputError(f"weights '{path}' are TorchScript, which is code: save model.state_dict().") from error
        if "Weights only load failed" in said:
            raise InputError(f"weights '{path}': the file is not from torch.save; save model.state_dict().") from error
        first = (said or type(error).__name__).splitlines()[0]
        raise InputError(f"weights '{path}' cannot be read ({first}): fetch or train it again.") from error


def _is_state(value: object) -> bool:
    """Return whether a value maps names to tensors."""
    return isinstance(value, Mapping) and bool(value) and all(isinstance(each, Tensor) for each in value.values())


def _unwrapped(found: object, path: Path) -> Weights:
    for _ in range(DEPTH):
        if not isinstance(found, Mapping) or _is_state(found):
            break
        named = [found[key] for key in WRAPPERS if isinstance(found.get(key), Mapping)]
        alone = [value for value in found.values() if _is_state(value)]
        if not named and len(alone) != 1:
            break
        found = (named or alone)[0]
    if not _is_state(found):
        keys = f", only {', '.join(map(str, list(found)[:SHOWN]))}" if isinstance(found, Mapping) and found else ""
        raise InputError(f"weights '{path}' hold no tensors by name{keys}: save model.state_dict().")
    assert isinstance(found, Mapping)
    return {str(key): value for key, value in found.items()}


def shape_of(tensor: Tensor) -> str:
    """Return the shape of a tensor for messages, such as 64x3x3x3."""
    return "x".join(map(str, tensor.shape)) or "scalar"
