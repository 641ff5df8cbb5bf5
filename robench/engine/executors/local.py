"""Compute chunks one after another in this process."""

from collections.abc import Iterable
from functools import partial

import torch

from robench.devices import pick_device
from robench.engine.executors.base import OnChunk, OnProgress, work
from robench.engine.loop import Chunk, Job
from robench.engine.saving import Checkpoints


class Local:
    """Compute in this process, with as many threads as torch takes.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1".

    Raises:
        InputError: no such device here.
    """

    goes_on = True

    def __init__(self, device: str = "auto") -> None:
        self._device = pick_device(device)

    @property
    def device(self) -> torch.device:
        """Device for all computation."""
        return self._device

    def join(self) -> None:
        """Do nothing: this process is always there."""

    def chunk_size(self, n: int, most: int) -> int:
        """Return the largest possible size."""
        return most

    def run(
        self,
        job: Job,
        chunks: Iterable[tuple[int, Chunk]],
        on_progress: OnProgress,
        on_chunk: OnChunk,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """Attack one chunk after another."""
        for position, chunk in chunks:
            on_chunk(position, *work(job, chunk, partial(on_progress, position), checkpoints))

    def close(self) -> None:
        """Do nothing: nothing was started."""
