"""Full micro-batches, and smaller ones when memory runs out."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from robench.data.pixels import Images
from robench.devices import out_of_memory
from robench.errors import InputError

Result = TypeVar("Result", Tensor, tuple[Tensor, ...])

AUTO = {"cpu": 128, "cuda": 512}
"""Micro-batch sizes to start from."""
ROOM = 2**26
"""Bytes that the graph of a micro-batch should hold on a CPU."""
LEAST = 16
"""But not fewer examples than that. Of five networks, from 7,000 to four billion multiply-adds an image, none is more
than a few percent faster with a larger micro-batch (`results/benchmarks/throughput.md`)."""
GRAPH = 2**31
"""Bytes that a graph may hold on a CPU. A GPU says when its memory is used up; Linux promises a CPU more than there
is and then kills the process. Larger micro-batches are no faster there."""
UNWATCHED = "support saved tensor hooks"
"""What torch says when a network differentiates with torch.func, whose graphs nobody can look into."""


class MicroBatcher:
    """Calls a function on micro-batches of the leading axis and joins what comes back.

    When memory runs out the sizes are halved, for good, and the micro-batch is done again.

    Attributes:
        size: of a micro-batch.
        forward_size: of one that is only passed forwards, which needs far less memory.
        graph: bytes that the graph of more than one example may hold, if that is limited.
        halved: whether memory ran out.
    """

    def __init__(self, size: int, forward_size: int | None = None, graph: int | None = None) -> None:
        if size < 1:
            raise InputError(f"--batch-size {size} must be at least 1, or 'auto'.")
        self.size, self.forward_size, self.graph = size, forward_size or size, graph
        self.asked: int | None = None
        self.halved = False

    @classmethod
    def auto(cls, device: torch.device) -> "MicroBatcher":
        """A packer with the usual size for a device."""
        size = AUTO.get(device.type, 128)
        return cls(size, 2 * size, GRAPH if device.type == "cpu" else None)

    @classmethod
    def of(cls, size: int | None, device: torch.device) -> "MicroBatcher":
        """A packer with the size asked for, or with the usual one."""
        batcher = cls(size) if size else cls.auto(device)
        batcher.asked = size
        return batcher

    def on(self, device: torch.device) -> "MicroBatcher":
        """A fresh one for another process: of the size asked for, on a CPU of the one that fits if that is known."""
        found = MicroBatcher.of(self.asked, device)
        if found.graph and self.graph:
            found.size, found.forward_size = self.size, self.forward_size
        return found

    def cautious(self) -> "MicroBatcher":
        """Itself, with small passes forwards until `fit` knows better, if it is free to choose."""
        if self.graph:
            self.forward_size = 2 * LEAST
        return self

    def fit(self, function: Callable[[Tensor], object], pair: Tensor) -> None:
        """Cut micro-batches, to a power of two of at least `LEAST` examples, so that what a graph holds beside the
        weights is at most `ROOM` bytes. What cannot be measured, because the network gives no gradient or hides how it
        comes by it, stays as it is.

        Args:
            function: a forward pass with a way back.
            pair: two examples that the network takes, on its device.
        """
        size = self.size
        try:
            one = _weight(function, pair[:1], math.inf)
            two = _weight(function, pair, max(self.graph or math.inf, one))
        except (RuntimeError, TypeError, ValueError, AttributeError) as error:
            if out_of_memory(error):
                size = 1
        else:
            size = max(2 ** (ROOM // max(two - one, 1)).bit_length() // 2, LEAST)
        self.size = min(size, self.size)
        self.forward_size = self.forward_size if self.halved else 2 * self.size

    def __call__(self, function: Callable[..., Result], *tensors: Images, differentiates: bool = True) -> Result:
        """`function(*micro-batches)` over tensors of equal leading length, outputs concatenated.

        Args:
            function: what is called.
            tensors: its arguments; images may be bytes, of which a micro-batch is made floats.
            differentiates: whether it passes backwards, too.

        Raises:
            InputError: memory runs out even for a single example.
        """
        n, start = len(tensors[0]), 0
        done: list[Result] = []
        while start < n or not done:
            size = self.size if differentiates else self.forward_size
            part = [tensor[start : start + size] for tensor in tensors]
            try:
                with self._bounded(len(part[0]) if differentiates else 0):
                    done.append(function(*part))
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if self.graph and UNWATCHED in str(error):
                    self.graph = None
                elif out_of_memory(error):
                    self._halve(min(size, len(part[0])), differentiates)
                else:
                    raise
                continue
            start += size
        return _join(done)

    def _bounded(self, examples: int) -> AbstractContextManager[object]:
        """Ends a forward pass whose graph grows too large; a single example may have what it needs."""
        return _Bounded(self.graph) if self.graph and examples > 1 else nullcontext()

    def _halve(self, size: int, differentiates: bool) -> None:
        if size == 1:
            raise InputError(
                "out of memory with a single example: use a smaller model, another --device, or close other programs."
            )
        half, self.halved = size // 2, True
        if differentiates:
            self.size, self.forward_size = half, max(self.forward_size // 2, half)
        else:
            self.size, self.forward_size = min(self.size, half), half
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class _Bounded(saved_tensors_hooks):
    """Counts what the passes inside keep for the way back, weights included, each storage once.

    Raises:
        OutOfMemoryError: it is more than `limit` bytes.
    """

    def __init__(self, limit: float) -> None:
        super().__init__(self._keep, lambda tensor: tensor)
        self.limit, self.total = limit, 0
        self.held: dict[int, int] = {}

    def _keep(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        place, size = storage.data_ptr(), storage.nbytes()
        self.total += size - self.held.get(place, 0)
        self.held[place] = size
        if self.total > self.limit:
            raise torch.OutOfMemoryError(f"out of memory: the graph holds more than {self.limit:,} bytes")
        return tensor.detach()  # as it is, an output would hold the node that holds it, for ever


def _weight(function: Callable[[Tensor], object], x: Tensor, limit: float) -> int:
    """Bytes that a pass keeps for the way back, if they are within a limit."""
    counted = _Bounded(limit)
    with counted:
        function(x.detach())
    return counted.total


def _join(done: list[Result]) -> Result:
    if len(done) == 1:
        return done[0]
    if isinstance(done[0], Tensor):
        return torch.cat(done)
    return tuple(torch.cat(column) for column in zip(*done, strict=True))
