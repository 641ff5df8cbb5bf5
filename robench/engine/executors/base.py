"""Interface of executors, which decide where chunks are computed, and nothing else."""

import time
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch

from robench.access.judge import Judge
from robench.devices import device_name, release
from robench.engine.loop import Chunk, Job, OnStep, attack_chunk
from robench.engine.saving import Checkpoints
from robench.store import Rows

OnProgress = Callable[[int, int, int, int], None]
"""Callback that gets a chunk's position, the restart, the step and the number of examples still under attack."""
OnChunk = Callable[[int, Rows, dict[str, Any]], None]
"""Callback that gets a chunk's position, its rows and its cost."""


class Executor(Protocol):
    """Compute chunks somewhere; the calling process stores the results."""

    goes_on: bool
    """Whether the attack on a chunk is saved now and then, and goes on after an interruption from where it was."""

    @property
    def device(self) -> torch.device:
        """Device of this process for passes outside chunks: the clean pass, the probe, the crafting."""

    def join(self) -> None:
        """Check that there is a place to compute.

        Raises:
            InputError: there is none.
        """

    def chunk_size(self, n: int, most: int) -> int:
        """Return the best chunk size for n examples, if at most `most` examples can advance together."""

    def run(
        self,
        job: Job,
        chunks: Iterable[tuple[int, Chunk]],
        on_progress: OnProgress,
        on_chunk: OnChunk,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """Attack every chunk and pass each result on once, as soon as it is finished, in any order.

        Only an executor that `goes_on` makes checkpoints.

        Raises:
            InputError: an attack raises it, or the job cannot be computed there.
            IncompleteError: a chunk failed several times; results that were passed on are kept.
        """

    def close(self) -> None:
        """Stop everything that the executor started."""


def work(
    job: Job, chunk: Chunk, on_step: OnStep, checkpoints: Checkpoints | None = None
) -> tuple[Rows, dict[str, Any]]:
    """Attack one chunk in this process; return its rows and its cost, that of interrupted runs included."""
    judge, begin = Judge(job.network, job.batcher, job.draws), time.perf_counter()
    saver = checkpoints.saver(chunk.ids) if checkpoints else None
    rows, faults, measures, _ = attack_chunk(job, chunk, judge, on_step, saver)
    cost = {
        "seconds": time.perf_counter() - begin + (saver.earlier if saver else 0.0),
        "judge_forwards": judge.forwards,
        "faults": dict(faults),
        "measures": dict(measures),
        "device": device_name(job.network.device),
        "search": job.network.search,
    }
    release()
    return rows, cost
