"""Read weights from a file in any usual wrapping, without running code from the file."""

import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from robench.classifiers.sources.unpickling import PICKLE_MODULE
from robench.errors import InputError, reason

Weights = dict[str, Tensor]
"""A state_dict."""
Match = TypeVar("Match")
DEPTH = 8
"""Largest depth of nested mappings that is searched."""
BLANK = b"\xef\xbb\xbf \t\r\n"
"""Bytes that may come before a text."""
NO_WEIGHTS = {
    b"<": "an HTML page, a failed download",
    b"version https://git-lfs": "a Git LFS pointer, not what it points to (git lfs pull)",
}
"""Kinds of files that hold no weights, by their first bytes."""
TRAINING_ONLY = frozenset(
    (
        *("attacker", "criterion", "ema", "ema_model", "loss", "loss_fn", "model_ema"),
        *("n_averaged", "optimizer", "scheduler", "swa_model", "teacher"),
    )
)
"""First parts of keys, beside a network's keys, that only training needs."""
SHOWN = 5
"""Number of keys or parts that a message names."""


@dataclass(frozen=True)
class Part:
    """A group of tensors in a checkpoint whose keys share a prefix.

    Attributes:
        state: keys of the mappings around the group, joined by dots, e.g. `model_ema`; empty if there are none.
        prefix: the prefix, e.g. `module.`; empty if there is none.
        weights: the tensors, by their keys without the prefix.
    """

    state: str
    prefix: str
    weights: Weights

    @property
    def name(self) -> str:
        """The part's name for `--key`, e.g. `model_ema.module`."""
        return ".".join(filter(None, (self.state, self.prefix.rstrip("."))))

    @property
    def exact_name(self) -> str:
        """The part's name with a colon between `state` and `prefix`, if another part has the same name."""
        return f"{self.state}:{self.prefix.rstrip('.')}"


@dataclass(frozen=True)
class Checkpoint:
    """All tensors of a file.

    Attributes:
        path: the file.
        states: mappings from names to tensors, by the keys of the mappings around them, joined by dots.
    """

    path: Path
    states: Mapping[str, Weights]

    def parts(self, anchor: str) -> Iterator[Part]:
        """List the parts that have a key `anchor`, shortest prefix first."""
        for name, weights in self.states.items():
            ends = sorted((key for key in weights if key == anchor or key.endswith(f".{anchor}")), key=len)
            for end in ends:
                prefix = end.removesuffix(anchor)
                inner = {key.removeprefix(prefix): each for key, each in weights.items() if key.startswith(prefix)}
                inner = {key: each for key, each in inner.items() if key.partition(".")[0] not in TRAINING_ONLY}
                yield Part(name, prefix, inner)

    def choose(
        self, anchors: Iterable[str], match: Callable[[Weights], Match | None], key: str | None = None
    ) -> tuple[Part, Match] | None:
        """Find the one part that matches; parts with equal tensors count as one.

        Args:
            anchors: keys of which every matching part has one.
            match: returns the match of a part, or None.
            key: the part's name, or the beginning of it, if the user has chosen it.

        Raises:
            InputError: several different parts match, and none is chosen.
        """
        found: list[tuple[Part, Match]] = []
        for part in (part for anchor in dict.fromkeys(anchors) for part in self.parts(anchor)):
            if any(part.exact_name == other.exact_name for other, _ in found) or not _chosen(part, key):
                continue
            matched = match(part.weights)
            if matched is not None and not any(_equal(part.weights, other.weights) for other, _ in found):
                found.append((part, matched))
        found = [each for each in found if key in (each[0].name, each[0].exact_name)] or found
        if len(found) > 1:
            called = [part.name for part, _ in found]
            names = [part.exact_name if called.count(part.name) > 1 else part.name for part, _ in found[:SHOWN]]
            raise InputError(
                f"weights '{self.path}' hold {len(found)} different networks "
                f"({', '.join(repr(name or 'the keys without prefix') for name in names)}): choose one with --key NAME."
            )
        return found[0] if found else None

    def left_out(self, part: Part) -> int:
        """Count the tensors that are not in the part."""
        return sum(len(weights) for weights in self.states.values()) - len(part.weights)

    def largest(self, key: str | None = None) -> Part:
        """Return the group with the most tensors, for a message about its faults.

        Raises:
            InputError: there are no tensors under the key.
        """
        named = [(name, each) for name, each in self.states.items() if _chosen(Part(name, "", each), key)]
        if not named:
            keys = f", only {', '.join(map(str, list(self.states)[:SHOWN]))}" if self.states else ""
            raise InputError(f"weights '{self.path}' hold no tensors under '{key}'{keys}: name another with --key.")
        name, weights = max(named, key=lambda each: len(each[1]))
        return Part(name, "", weights)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read the tensors in a safetensors file, or in a file of `torch.save`.

    Raises:
        InputError: the file is missing, truncated or of another kind (a saved HTML page, say), or holds no tensors
            by name.
    """
    if not path.is_file():
        what = "it is a folder" if path.is_dir() else "there is no such file"
        raise InputError(f"weights '{path}': {what}; name a file of weights.")
    with path.open("rb") as stream:
        start = stream.read(1024)
    for begins, what in NO_WEIGHTS.items():
        if start.lstrip(BLANK).lower().startswith(begins):
            raise InputError(f"weights '{path}': the file is {what}; fetch or train it again.")
    # Eight bytes of length, then JSON: safetensors, whatever the file is called.
    is_safetensors = path.suffix == ".safetensors" or start[8:9] == b"{"
    found, beside = (_tensors(path), "") if is_safetensors else _pickled(path)
    states: dict[str, Weights] = {}
    for name, tensors in _states(found):
        states[name if name not in states else f"{name} ({len(states)})"] = tensors
    if not states:
        keys = f", only {', '.join(map(str, list(found)[:SHOWN]))}" if isinstance(found, Mapping) and found else ""
        code = f", but a {beside}, which could run code" if beside else ""
        raise InputError(f"weights '{path}' hold no tensors by name{keys}{code}: save model.state_dict().")
    return Checkpoint(path, states)


def read_weights(path: Path) -> Weights:
    """Read the tensors of a file that holds one network and nothing else.

    Raises:
        InputError: as `read_checkpoint`.
    """
    return read_checkpoint(path).largest().weights


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


def shape_of(tensor: Tensor) -> str:
    """Return the shape of a tensor for messages, e.g. 64x3x3x3."""
    return "x".join(map(str, tensor.shape)) or "scalar"


def _tensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"weights '{path}' cannot be read ({reason(error)}): fetch or train it again.") from error


def _pickled(path: Path) -> tuple[object, str]:
    """Unpickle a file of `torch.save`; return what it holds, and the first class in it that torch would not build."""
    try:
        return _load(path, weights_only=True), ""
    except Exception as error:
        said = str(error)
        if "TorchScript" in said:
            raise InputError(
                f"weights '{path}' are TorchScript, a program: name it as --model, or save model.state_dict()."
            ) from error
        if not (kind := re.search(r"GLOBAL (\S+) was not an allowed", said)):
            if "Weights only load failed" in said:
                raise InputError(
                    f"weights '{path}': the file is not from torch.save; save model.state_dict()."
                ) from error
            raise InputError(f"weights '{path}' cannot be read ({reason(error)}): fetch or train it again.") from error
    try:
        return _load(path, weights_only=False, pickle_module=PICKLE_MODULE), kind[1]
    except Exception as error:
        raise InputError(
            f"weights '{path}' hold a {kind[1]} beside tensors, which could run code: save model.state_dict()."
        ) from error


def _load(path: Path, **options: object) -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a warning about TorchScript, which the caller refuses
        return torch.load(path, map_location="cpu", **options)  # type: ignore[arg-type]


def _states(found: object, name: str = "", depth: int = DEPTH) -> Iterator[tuple[str, Weights]]:
    """Find all mappings from names to tensors; other values beside the tensors are left out."""
    if not isinstance(found, Mapping) or not depth:
        return
    tensors = {str(key): value for key, value in found.items() if isinstance(key, str) and isinstance(value, Tensor)}
    if tensors:
        yield name, tensors
    for key, value in found.items():
        yield from _states(value, f"{name}.{key}" if name else str(key), depth - 1)


def _chosen(part: Part, key: str | None) -> bool:
    return key is None or key in (part.name, part.exact_name) or part.name.startswith(f"{key}.")


def _equal(one: Weights, other: Weights) -> bool:
    return one.keys() == other.keys() and all(
        one[key].layout == other[key].layout == torch.strided and torch.equal(one[key], other[key]) for key in one
    )
