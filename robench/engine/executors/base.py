"""What an executor is: it says where chunks are computed, and nothing else."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch

from robench.access.judge import Judge
from robench.devices import device_name, release
from robench.engine.loop import Chunk, Job, OnStep, attack_chunk
from robench.store import Rows

OnProgress = Callable[[int, int, int, int], None]
"""Called with a chunk's position, the restart, the step and the number of examples still under attack."""
OnChunk = Callable[[int, Rows, dict[str, Any]], None]
"""Called with a chunk's position, its rows and what it cost."""


class Executor(Protocol):
    """Computes chunks somewhere; the process that asks writes them down."""

    @property
    def device(self) -> torch.device:
        """Where this process makes the passes that are no chunk's: the clean one, the probe, the crafting."""

    def join(self) -> None:
        """Be sure that there is somewhere to compute.

        Raises:
            InputError: there is not.
        """

    def chunk_size(self, n: int, most: int) -> int:
        """Into how large chunks n examples should be cut, if at most so many can advance together."""

    def run(self, job: Job, chunks: Iterable[tuple[int, Chunk]], on_progress: OnProgress, on_chunk: OnChunk) -> None:
        """Attack every chunk and hand it over, once, the moment it is finished; in any order.

        Raises:
            InputError: an attack does, or the job cannot be computed there.
            IncompleteError: it was tried again and again in vain; what is handed over is kept.
        """

    def close(self) -> None:
        """Give back what was started for it."""


def work(job: Job, chunk: Chunk, on_step: OnStep) -> tuple[Rows, dict[str, Any]]:
    """Attack one chunk, here and now: its rows and what it cost."""
    judge, begin = Judge(job.network, job.batcher), time.perf_counter()
    rows, faults, measures, _ = attack_chunk(job, chunk, judge, on_step)
    cost = {
        "seconds": time.perf_counter() - begin,
        "judge_forwards": judge.forwards,
        "faults": dict(faults),
        "measures": dict(measures),
        "device": device_name(job.network.device),
        "search": job.network.search,
    }
    release()
    return rows, cost
