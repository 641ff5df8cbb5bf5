"""Random numbers of a network, one stream for each row of a batch.

A network that draws random numbers takes them from one generator for the whole batch, so an image's numbers depend on
its place and on the other images. Here every row draws from a stream of its own, keyed by a seed: the answer for an
image is a function of the image and its seed, whatever the batch is.
"""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from robench.classifiers.seeded import generators_kept, seed

SIZES = (5, 7)
"""Batches on which a network is watched. A tensor with one part for each row has a multiple of both as length."""


class SharedDraw(BaseException):
    """The network draws numbers that all rows of a batch share, or another number of them than before."""


class RowRandom(TorchDispatchMode):
    """Make every random operation of torch draw row by row, each row from the stream of its seed.

    An operation draws row by row if the length of its tensor is a multiple of the number of rows; a part of the tensor
    then belongs to each row. With a single row, all numbers are the row's, and the global generators, seeded by
    `seeded_rows`, give them; so what a network restores of these generators (gradient checkpointing) is restored.

    Attributes:
        parts: for each random operation, the length of the part of one row.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seeds, self.parts = [*seeds], list[int]()
        self.streams: dict[torch.Generator, list[Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation of torch; a random one once for each row."""
        if torch.Tag.nondeterministic_seeded not in func.tags or _drops_nothing(func, args, kwargs or {}):
            return func(*args, **(kwargs or {}))
        # A generator of the network's own is replaced by the stream of the row.
        args = tuple(None if isinstance(each, torch.Generator) else each for each in args)
        kwargs = {key: None if isinstance(each, torch.Generator) else each for key, each in (kwargs or {}).items()}
        generator, rows = _generator(args, kwargs), len(self.seeds)
        whole = _length([*args, *kwargs.values()])
        if rows > 1 and (whole is None or whole % rows or "out" in kwargs):
            raise SharedDraw
        part = 1 if whole is None else whole // rows
        self.parts.append(part)
        if rows == 1:
            return func(*args, **kwargs)
        states = self._streams(generator)
        answers = []
        for row in range(rows):
            generator.set_state(states[row])
            span = slice(row * part, (row + 1) * part)
            own = [_part(each, whole, span) for each in args]
            answers.append(func(*own, **{key: _part(each, whole, span) for key, each in kwargs.items()}))
            states[row] = generator.get_state()
        return args[0] if func._schema.name.endswith("_") else _joined(answers)  # "_": written in place

    def _streams(self, generator: torch.Generator) -> list[Tensor]:
        """Return the state of each row's stream."""
        if generator not in self.streams:
            self.streams[generator] = [generator.manual_seed(each).get_state() for each in self.seeds]
        return self.streams[generator]


def _drops_nothing(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    """Return whether an operation, such as attention, draws nothing because its dropout is off."""
    for place, argument in enumerate(func._schema.arguments):
        if argument.name == "dropout_p":
            given = args[place] if place < len(args) else kwargs.get("dropout_p", argument.default_value)
            return not given
    return False


def _generator(args: Sequence[Any], kwargs: dict[str, Any]) -> torch.Generator:
    """Return the generator from which an operation draws."""
    tensors = (each.device for each in args if isinstance(each, Tensor))
    device = torch.device(kwargs.get("device") or next(tensors, "cpu"))
    if device.type == "cuda":
        index = torch.cuda.current_device() if device.index is None else device.index
        return torch.cuda.default_generators[index]
    return torch.default_generator


def _length(given: Sequence[Any]) -> int | None:
    """Return the length of an operation's first tensor or shape; None if it has none."""
    for each in given:
        if isinstance(each, Tensor):
            return len(each) if each.dim() else None
        if isinstance(each, list | tuple | torch.Size) and each and isinstance(each[0], int):
            return int(each[0])
    return None


def _part(value: Any, whole: int | None, span: slice) -> Any:
    """Return the part of an argument that belongs to one row; what is not laid out by rows stays whole."""
    if isinstance(value, Tensor) and value.dim() and len(value) == whole:
        return value[span]
    if isinstance(value, list | tuple) and value and isinstance(value[0], int) and value[0] == whole:
        return [span.stop - span.start, *value[1:]]
    return value


def _joined(answers: list[Any]) -> Any:
    if isinstance(answers[0], Tensor):
        return torch.cat(answers)
    if not all(isinstance(each, Tensor) and each.dim() for each in answers[0]):
        raise SharedDraw  # numbers beside the rows
    return tuple(torch.cat(column) for column in zip(*answers, strict=True))


@contextmanager
def seeded_rows(seeds: Sequence[int]) -> Iterator[RowRandom]:
    """Give each row of the passes inside random numbers of its own, and put all global generators back afterwards.

    Raises:
        SharedDraw: the network draws numbers that several rows share, from torch or elsewhere.
    """
    with generators_kept(), RowRandom(seeds) as streams:
        if len(seeds) == 1:
            seed(seeds[0])
            yield streams
            return
        before = _elsewhere()
        yield streams
        if _elsewhere() != before:
            raise SharedDraw


def one_draw(
    function: Callable[..., Any],
    seeds: Sequence[int],
    *parts: Any,
    by_row: bool,
    expected: Sequence[int] | None = None,
) -> Any:
    """Call a function on batches whose rows draw by their seeds.

    Args:
        function: runs the network; maps tensors with a leading axis to such tensors.
        seeds: one for each row.
        parts: the arguments.
        by_row: whether the network draws row by row; if not, it gets one row at a time.
        expected: the `parts` of its random operations; None if any will do.

    Raises:
        SharedDraw: `by_row` is wrong, or the network draws otherwise than expected.
    """
    if by_row:
        with seeded_rows(seeds) as streams:
            answer = function(*parts)
        if expected is not None and streams.parts != [*expected]:
            raise SharedDraw
        return answer
    answers = []
    for row, number in enumerate(seeds):
        with seeded_rows([number]):
            answers.append(function(*(part[row : row + 1] for part in parts)))
    return _joined(answers)


def parts_of(network: Callable[[Tensor], object], x: Tensor) -> list[int] | None:
    """Return the `parts` of a network's random operations; None if rows share numbers, or need other numbers of them.

    Args:
        network: is asked with batches of `SIZES`, and for every image alone.
        x: different images (M, C, H, W).
    """
    batches = [x[torch.arange(size) % len(x)] for size in SIZES] + list(x.split(1))
    found = []
    for at, batch in enumerate(batches):
        try:
            with seeded_rows(range(at, at + len(batch))) as streams:
                network(batch)
        except SharedDraw:
            return None
        found.append(streams.parts)
    return found[0] if all(parts == found[0] for parts in found) else None


def _elsewhere() -> list[object]:
    """Return the states of the global generators that `RowRandom` does not direct: those of Python and NumPy."""
    name, keys, *rest = np.random.get_state()
    return [random.getstate(), name, np.asarray(keys).tobytes(), rest]
