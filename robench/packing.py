"""Full micro-batches, and smaller ones when memory runs out."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from robench.errors import InputError

Result = TypeVar("Result", Tensor, tuple[Tensor, ...])

AUTO = {"cpu": 128, "cuda": 512}
"""Micro-batch sizes to start from; on a CPU small ones stay in the cache."""


class Packer:
    """Calls a function on micro-batches of the leading axis and joins what comes back.

    When memory runs out the size is halved, for good, and the micro-batch is done again.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise InputError(f"--batch-size {size} must be at least 1, or 'auto'.")
        self.size = size

    @classmethod
    def auto(cls, device: torch.device) -> "Packer":
        """A packer with the usual size for a device."""
        return cls(AUTO.get(device.type, 128))

    def __call__(self, function: Callable[..., Result], *tensors: Tensor) -> Result:
        """`function(*micro-batches)` over tensors of equal leading length, outputs concatenated.

        Raises:
            InputError: memory runs out even for a single example.
        """
        n, start = len(tensors[0]), 0
        done: list[Result] = []
        while start < n or not done:
            part = [tensor[start : start + self.size] for tensor in tensors]
            try:
                done.append(function(*part))
            except (torch.OutOfMemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                self._halve()
                continue
            start += self.size
        return _join(done)

    def _halve(self) -> None:
        if self.size == 1:
            raise InputError(
                "out of memory with a single example: use a smaller model, another --device, or close other programs."
            )
        self.size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, on a GPU or on the CPU."""
    text = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "can't allocate memory" in text
        or "out of memory" in text
        or "alloc_failed" in text
    )


def _join(done: list[Result]) -> Result:
    if len(done) == 1:
        return done[0]
    if isinstance(done[0], Tensor):
        return torch.cat(done)
    return tuple(torch.cat(column) for column in zip(*done, strict=True))
