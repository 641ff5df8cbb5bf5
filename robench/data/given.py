"""Examples as they are given in Python: arrays and labels, a dataset, or a loader."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from robench.data.about import About
from robench.data.elements import Example, Reader
from robench.data.known_labels import known_labels, normalisation
from robench.data.labels import class_numbers
from robench.data.opened import Opened, Places, opened
from robench.data.split import CHOSEN, Split, first_ids, sha256_of
from robench.data.stack import Stack
from robench.errors import InputError

NAME = "data"
"""The name of the user's examples in Python."""
TWICE = 32
"""Number of examples that are read twice; a random flip goes unnoticed in one of four billion datasets."""


def given(x: Any, y: Any = None, ids: Any = None, limit: int | None = None) -> Split:
    """Return the examples that the user gave in Python.

    Args:
        x: images, or a dataset or loader, which brings its labels.
        y: labels of images.
        ids: stable numbers of the examples; by default their places in the dataset.
        limit: number of examples to take, every class in proportion; None for all.

    Raises:
        InputError: something does not fit; the message says what.
    """
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise InputError(f"limit {limit!r} must be a whole number, at least 1.")
    if y is not None:
        if isinstance(x, DataLoader | Dataset):
            raise InputError(f"x is a {type(x).__name__}, which brings its labels: leave y out.")
        return _first(Split.checked(NAME, x, y, ids), limit)
    if isinstance(x, Tensor | np.ndarray):
        raise InputError("the labels are missing: give y, one class number per image.")
    with torch.random.fork_rng(devices=[]):  # reading must not move the user's random numbers on
        source = opened(x)
        _require_plain(source)
        return _read(source, ids, limit)


def _first(split: Split, limit: int | None) -> Split:
    """Return the examples of a limit as a set of their own, like one that was read in part."""
    chosen = split.first(limit, "")
    if chosen is split:
        return split
    return replace(chosen, sha256=sha256_of(chosen.x, chosen.y, chosen.ids))


def _require_plain(source: Opened) -> None:
    found = normalisation(source.dataset)
    if found is not None:
        mean, std = ([round(value, 6) for value in values] for values in found)
        raise InputError(
            f"{source.what} normalises its images, but attacks need them in [0, 1]: take Normalize out of its "
            f"transform, and give mean={mean}, std={std} instead."
        )


RANDOM = (
    "draws at random: it answers with other examples when it is read again; leave random transforms and shuffling out."
)
"""Refusal of a dataset that answers differently twice; its name comes before."""


def _read(source: Opened, ids: Any, limit: int | None) -> Split:
    if limit is None or ids is not None:
        stack = _stacked(source, None)
        source = _by_example(source, len(stack))
        _require_steady(source, stack, range(len(stack)))
        return _first(_finished(source, stack, ids, range(len(stack))), limit)
    labels = known_labels(source.dataset) if source.numbers is not None else None
    if labels is not None:
        labels = class_numbers(NAME, labels[source.numbers]).numpy()
        places = _places(source, labels, limit)
        stack = _stacked(source, places)
        if len(stack) == len(places) and np.array_equal(class_numbers(NAME, stack.labels), labels[places]):
            return _chosen(source, stack, places, len(labels))
    # Only reading tells the labels: read all of them first, and keep the chosen images from a second reading.
    each = [example.label for example in _examples(source, None)]
    if not each:
        raise InputError(f"{source.what} has no examples: give at least one.")
    source = _by_example(source, len(each))
    labels = class_numbers(NAME, each).numpy()
    places = _places(source, labels, limit)
    stack = _stacked(source, places)
    if not np.array_equal(class_numbers(NAME, stack.labels), labels[places]):
        raise InputError(f"{source.what} {RANDOM}")
    return _chosen(source, stack, places, len(labels))


def _by_example(source: Opened, count: int) -> Opened:
    """Return the source as a stream where its elements turned out to be batches, so that numbers do not fit them."""
    if source.numbers is None or len(source.numbers) == count:
        return source
    return replace(source, numbers=None)


def _places(source: Opened, labels: NDArray[np.int64], limit: int) -> list[int]:
    numbers = range(len(labels)) if source.numbers is None else source.numbers
    return first_ids(labels.tolist(), numbers, limit)


def _chosen(source: Opened, stack: Stack, places: list[int], total: int) -> Split:
    _require_steady(source, stack, places)
    split = _finished(source, stack, None, places)
    return split if len(split) == total else replace(split, about=_with_choice(split.about, total))


def _with_choice(about: About, total: int) -> About:
    return replace(about, total=total, notes=(*about.notes, CHOSEN))


def _finished(source: Opened, stack: Stack, ids: Any, places: Sequence[int]) -> Split:
    if ids is None and source.numbers is not None:
        ids = np.array([source.numbers[place] for place in places], dtype=np.int64)
    split = stack.split(NAME, np.asarray(places, dtype=np.int64) if ids is None else ids)
    notes = [*source.notes]
    if stack.extra:
        notes.append(f"left out: {stack.extra} more in each example than image and label")
    if stack.coloured:
        notes.append("grey images given three channels")
    return replace(split, about=About(source.what.removeprefix("the "), len(split), notes=tuple(notes)))


def _examples(source: Opened, places: Places) -> Iterator[Example]:
    """Yield the examples at some places; those of a stream, whose elements have no numbers, are picked out of all."""
    reader = Reader(source.what, source.batched)
    if places is None or source.numbers is not None:
        return (example for element in source.elements(places) for example in reader.examples(element))
    wanted = set(places)
    return (example for at, example in enumerate(_examples(source, None)) if at in wanted)


def _stacked(source: Opened, places: Places) -> Stack:
    expected = source.numbers if places is None else places
    stack = Stack(source.what, None if expected is None else len(expected))
    for example in _examples(source, places):
        stack.add(example)
    return stack


def _require_steady(source: Opened, stack: Stack, places: Sequence[int]) -> None:
    """Read some examples again and compare.

    Raises:
        InputError: an example differs from its first reading.
    """
    count = min(TWICE, len(stack))
    if not count:
        return
    spread = sorted({round(at) for at in np.linspace(0, len(stack) - 1, count)})
    rows = list(range(count)) if source.numbers is None else spread  # a stream is not read to its end again
    again = list(islice(_examples(source, [places[row] for row in rows]), count))
    if len(again) != len(rows) or not all(map(stack.same, rows, again)):
        raise InputError(f"{source.what} {RANDOM}")
