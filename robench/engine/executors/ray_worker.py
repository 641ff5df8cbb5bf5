"""Work of a Ray worker on one chunk."""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from platform import node
from typing import Any

import torch
from torch import Tensor

from robench.access.microbatches import MicroBatcher
from robench.algorithms import ReferenceExamples
from robench.classifiers.frozen import FrozenNetwork
from robench.devices import versions
from robench.engine.executors.base import work
from robench.engine.loop import Chunk, CraftedExamples, Job
from robench.errors import InputError
from robench.store import Rows

CPU = torch.device("cpu")
PAUSE = 0.5
"""Seconds between two reports of a worker; more reports would only be traffic."""
Tell = Callable[[int, int, int], object]
"""Callback that gets the restart, the step and the number of examples still under attack."""


@dataclass(frozen=True)
class ChunkPayload:
    """A chunk in CPU memory, as it is sent to a worker.

    Attributes:
        chunk: the examples.
        points: examples crafted on another network, (N, C, H, W); None if the attack uses none.
    """

    chunk: Chunk
    points: Tensor | None

    @classmethod
    def of(cls, chunk: Chunk, crafted: CraftedExamples | None) -> "ChunkPayload":
        """Send only this chunk's crafted examples."""
        chunk = chunk.to(CPU)
        return cls(chunk, crafted.of(chunk.ids) if crafted else None)


@dataclass(frozen=True)
class JobPayload:
    """Data that all chunks of an attack share, apart from the network.

    Attributes:
        shared: fields of a `Job` that are neither network nor tensor.
        batcher: batcher from which a worker makes another for its device.
        references: reference examples, on the CPU.
        kind: kind of device to compute on, "cpu" or "cuda".
        versions: versions in the calling process of everything that can change verdicts.
    """

    shared: dict[str, Any]
    batcher: MicroBatcher
    references: ReferenceExamples | None
    kind: str
    versions: dict[str, str]

    @classmethod
    def of(cls, job: Job, kind: str) -> "JobPayload":
        """Make the payload of a job."""
        apart = {"network", "batcher", "references", "crafted"}
        shared = {field.name: getattr(job, field.name) for field in fields(job) if field.name not in apart}
        return cls(shared, job.batcher, job.references and job.references.to(CPU), kind, versions())


def attack(network: FrozenNetwork, order: JobPayload, parcel: ChunkPayload, tell: Tell) -> tuple[Rows, dict[str, Any]]:
    """Attack a chunk on a network that arrives in CPU memory; `tell` is called with a step now and then.

    Raises:
        InputError: the attack raises it, or this worker's versions differ from those of the calling process.
    """
    _require_same(order.versions)
    device = torch.device(order.kind)
    if device == CPU:
        torch.set_num_threads(1)  # a worker has one core
    chunk, there = parcel.chunk, network.on(device)
    job = Job(
        network=there if there.backward else there.accelerated(network.search, order.shared["precision"]),
        batcher=order.batcher.on(device),
        references=order.references and order.references.to(device),
        crafted=None if parcel.points is None else CraftedExamples(chunk.ids, parcel.points),
        **order.shared,
    )
    return work(job, chunk.to(device), Throttled(tell))


class Throttled:
    """Pass on at most one call in `PAUSE` seconds."""

    def __init__(self, tell: Tell) -> None:
        self.tell, self.last = tell, time.monotonic()

    def __call__(self, restart: int, t: int, active: int) -> None:
        now = time.monotonic()
        if now - self.last >= PAUSE:
            self.last = now
            self.tell(restart, t, active)


def _require_same(wanted: dict[str, str]) -> None:
    for name, version in versions().items():
        if version != wanted[name]:
            raise InputError(
                f"the worker on '{node()}' has {name} {version}, this process {wanted[name]}: "
                "install the same on all machines."
            )
