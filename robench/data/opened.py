"""Datasets and loaders of torch and Hugging Face, opened so that their elements can be read in their own order."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler
from torch.utils.data._utils.collate import default_collate, default_convert

from robench.errors import InputError

Places = Sequence[int] | None
"""Places among a dataset's elements; None for all."""


@dataclass(frozen=True)
class Opened:
    """A dataset or loader whose elements can be read.

    Attributes:
        what: its name, for messages.
        dataset: the dataset behind it.
        elements: returns the elements at some places; those of a stream come all, whatever places are named.
        numbers: the dataset's number of each element; None for a stream, whose length only reading tells.
        batched: whether every element is a batch.
        notes: what was done otherwise than the loader says.
    """

    what: str
    dataset: Any
    elements: Callable[[Places], Iterable[Any]]
    numbers: list[int] | None
    batched: bool = False
    notes: list[str] = field(default_factory=list)


def opened(data: Any) -> Opened:
    """Open a loader, a dataset with numbers, a stream, or one batch.

    Raises:
        InputError: it is none of these, or draws its examples at random.
    """
    if isinstance(data, DataLoader):
        return _loader(data)
    what = type(data).__name__
    if isinstance(data, list | tuple) and data and getattr(data[0], "ndim", 0) > 2:
        return Opened("the batch", data, lambda places: [data], None, batched=True)
    if isinstance(data, Mapping):
        raise InputError(f"x is a {what} with {', '.join(map(str, data))}: give one of them.")
    if isinstance(data, IterableDataset) or not hasattr(data, "__getitem__"):
        return _stream(data, what)
    if not hasattr(data, "__len__"):
        raise InputError(f"{what} has no length: give its class a __len__.")
    return Opened(what, data, lambda places: _by_number(data, places), list(range(len(data))))


def _by_number(data: Any, places: Places) -> Iterator[Any]:
    return (data[place] for place in (range(len(data)) if places is None else places))


def _stream(data: Any, what: str) -> Opened:
    if not hasattr(data, "__iter__"):
        raise InputError(f"x is a {what}: expected images and labels, a Dataset or a DataLoader.")
    if iter(data) is data:
        raise InputError(f"x is a {what}, which can be read only once: give the dataset or the loader itself.")
    return Opened(what, data, lambda places: data, None)


def _loader(loader: DataLoader[Any]) -> Opened:
    dataset, collate = loader.dataset, loader.collate_fn
    own = collate not in (default_collate, default_convert)
    if isinstance(dataset, IterableDataset):
        what = f"the loader's {type(dataset).__name__}"
        if not own:
            return Opened(what, dataset, lambda places: dataset, None)
        size = loader.batch_size
        return Opened(what, dataset, lambda places: _collated(dataset, collate, size), None, size is not None)
    numbers, notes = _order(loader)
    whole = loader.batch_size is None and loader.batch_sampler is None

    def elements(places: Places) -> Iterator[Any]:
        chosen = numbers if places is None else [numbers[place] for place in places]
        again: DataLoader[Any] = DataLoader(
            dataset,
            batch_size=None if whole else loader.batch_size or 32,
            sampler=chosen,
            num_workers=loader.num_workers,
            collate_fn=collate if own else _as_it_is if whole else list,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
            generator=torch.Generator(),
        )
        for element in again:
            if own or whole:
                yield element
            else:
                yield from element

    return Opened(f"the loader's {type(dataset).__name__}", dataset, elements, numbers, own and not whole, notes)


def _as_it_is(element: Any) -> Any:
    return element


def _collated(dataset: Iterable[Any], collate: Callable[[Any], Any], size: int | None) -> Iterator[Any]:
    if size is None:
        yield from map(collate, dataset)
        return
    items = iter(dataset)
    while part := list(islice(items, size)):
        yield collate(part)


def _order(loader: DataLoader[Any]) -> tuple[list[int], list[str]]:
    """Return the numbers of a loader's examples in the dataset's order, and notes on what the loader does otherwise.

    Raises:
        InputError: the loader draws other examples each time, or some of them several times.
    """
    batches = loader.batch_sampler if loader.batch_size is None else None
    sampler = batches.sampler if type(batches) is BatchSampler else loader.sampler
    total = len(loader.dataset)  # type: ignore[arg-type]
    notes = []
    if getattr(batches or loader, "drop_last", False):
        notes.append("the loader's drop_last is not applied")
    if batches is None or type(batches) is BatchSampler:
        if type(sampler) is SequentialSampler:
            return list(range(total)), notes
        if type(sampler) is RandomSampler and not sampler.replacement and sampler.num_samples == total:
            return list(range(total)), [*notes, "in the dataset's order, not the loader's random one"]
        draws: Iterable[Any] = sampler
        name = type(sampler).__name__
        first, second = list(draws), list(draws)
    else:
        name = type(batches).__name__
        first, second = ([number for batch in batches for number in batch] for _ in range(2))
    if len(set(first)) != len(first) or set(first) != set(second):
        raise InputError(
            f"the loader's {name} draws examples at random or several times: give loader.dataset, with limit= for some "
            "of its examples."
        )
    return sorted(first), [*notes, f"the examples of the loader's {name}, in the dataset's order"]
