"""Chunks one after another in this process."""

import time
from collections.abc import Callable, Iterable
from typing import Any

from robench.engine import Chunk, Job, OnStep, attack_chunk
from robench.judge import Judge
from robench.store import Rows

OnChunk = Callable[[int, Rows, dict[str, Any]], None]
"""Called with a chunk's position, its rows and what it cost."""


def run_chunks(job: Job, chunks: Iterable[tuple[int, Chunk]], on_step: OnStep, on_chunk: OnChunk) -> None:
    """Attack every chunk and hand it over the moment it is finished."""
    for position, chunk in chunks:
        judge, begin = Judge(job.victim, job.packer), time.perf_counter()
        rows, faults, measures, _ = attack_chunk(job, chunk, judge, on_step)
        cost = {
            "seconds": time.perf_counter() - begin,
            "judge_forwards": judge.forwards,
            "faults": dict(faults),
            "measures": dict(measures),
        }
        on_chunk(position, rows, cost)
