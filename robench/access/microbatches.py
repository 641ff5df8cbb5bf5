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
"""Initial micro-batch sizes, by kind of device."""
ROOM = 2**26
"""Largest number of bytes that the graph of a fitted micro-batch should hold on a CPU."""
LEAST = 16
"""Smallest number of examples in a fitted micro-batch. Of five networks, from 7,000 to four billion multiply-adds per
image, none is more than a few percent faster with a larger micro-batch (`results/benchmarks/throughput.md`)."""
GRAPH = 2**31
"""Largest number of bytes that a graph may hold on a CPU. A GPU reports that its memory is full; Linux promises more
memory than there is and then kills the process. Larger micro-batches are no faster on a CPU."""
UNWATCHED = "support saved tensor hooks"
"""Part of torch's error if a network differentiates with torch.func, whose graphs cannot be measured."""


class MicroBatcher:
    """Call a function on micro-batches of the leading axis and join the outputs.

    If memory runs out, the sizes are halved for good and the micro-batch is computed again.

    Attributes:
        size: examples per micro-batch.
        forward_size: examples per micro-batch without a backward pass, which needs far less memory.
        graph: bytes that the graph of more than one example may hold; None for no limit.
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
        """Make a batcher with the usual size for a device."""
        size = AUTO.get(device.type, 128)
        return cls(size, 2 * size, GRAPH if device.type == "cpu" else None)

    @classmethod
    def of(cls, size: int | None, device: torch.device) -> "MicroBatcher":
        """Make a batcher with the size asked for, or with the usual one."""
        batcher = cls(size) if size else cls.auto(device)
        batcher.asked = size
        return batcher

    def on(self, device: torch.device) -> "MicroBatcher":
        """Make a batcher for another process, with the size asked for; on a CPU, with the fitted size if known."""
        found = MicroBatcher.of(self.asked, device)
        if found.graph and self.graph:
            found.size, found.forward_size = self.size, self.forward_size
        return found

    def cautious(self) -> "MicroBatcher":
        """Return this batcher; if no size was asked for, forward passes stay small until `fit` measures the network."""
        if self.graph:
            self.forward_size = 2 * LEAST
        return self

    def fit(self, function: Callable[[Tensor], object], pair: Tensor) -> None:
        """Fit the size of micro-batches to the network.

        The size becomes a power of two, at least `LEAST`, such that the graph holds at most `ROOM` bytes beside the
        weights. If that cannot be measured, because the network gives no gradient or hides its graph, the size stays.

        Args:
            function: a forward pass that can be differentiated.
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
        """Call `function(*micro-batches)` over tensors of equal leading length, and concatenate the outputs.

        Args:
            function: the function to call.
            tensors: arguments of the function; images may be bytes, which become floats one micro-batch at a time.
            differentiates: whether the function makes a backward pass, too.

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
        """Stop a forward pass whose graph grows too large; a single example has no limit."""
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
    """Count the bytes that passes inside keep for the backward pass, weights included, each storage once.

    Raises:
        OutOfMemoryError: the passes keep more than `limit` bytes.
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
        return tensor.detach()  # else an output would hold the node that holds it, for ever


def _weight(function: Callable[[Tensor], object], x: Tensor, limit: float) -> int:
    """Return the bytes that a pass keeps for the backward pass, if they are within a limit."""
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
