"""What a worker does with a chunk that it is sent."""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
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
"""Seconds between two reports of a worker: more would only be traffic."""
Tell = Callable[[int, int, int], object]
"""Called with restart, step and the number of examples still under attack."""


@dataclass(frozen=True)
class ChunkPayload:
    """A chunk on its way, on the CPU.

    Attributes:
        chunk: the examples.
        points: those crafted from them on another network, (N, C, H, W), where the attack shows such.
    """

    chunk: Chunk
    points: Tensor | None

    @classmethod
    def of(cls, chunk: Chunk, crafted: CraftedExamples | None) -> "ChunkPayload":
        """Of all crafted examples only the chunk's travel."""
        chunk = chunk.to(CPU)
        return cls(chunk, crafted.of(chunk.ids) if crafted else None)


@dataclass(frozen=True)
class JobPayload:
    """What all chunks of an attack share, beside the network.

    Attributes:
        shared: of a `Job`, what is neither network nor tensor.
        packer: from which a worker makes one for its own device.
        pool: on the CPU.
        kind: of device to compute on, "cpu" or "cuda".
        versions: of what can change verdicts, where the order comes from.
    """

    shared: dict[str, Any]
    batcher: MicroBatcher
    references: ReferenceExamples | None
    kind: str
    versions: dict[str, str]

    @classmethod
    def of(cls, job: Job, kind: str) -> "JobPayload":
        """The order for a job."""
        apart = {"network", "batcher", "references", "crafted"}
        shared = {field.name: getattr(job, field.name) for field in fields(job) if field.name not in apart}
        return cls(shared, job.batcher, job.references and job.references.to(CPU), kind, versions())


def attack(network: FrozenNetwork, order: JobPayload, parcel: ChunkPayload, tell: Tell) -> tuple[Rows, dict[str, Any]]:
    """Attack a chunk of a victim that comes as a CPU's; `tell` hears of a step now and then.

    Raises:
        InputError: the attack does, or this worker's versions are not those of the process that asks.
    """
    _require_same(order.versions)
    device = torch.device(order.kind)
    if device == CPU:
        torch.set_num_threads(1)  # a worker is a core
    chunk, there = parcel.chunk, replace(network, module=network.module.to(device), device=device)
    job = Job(
        network=there.accelerated(network.search, order.shared["precision"]),
        batcher=order.batcher.on(device),
        references=order.references and order.references.to(device),
        crafted=None if parcel.points is None else CraftedExamples(chunk.ids, parcel.points),
        **order.shared,
    )
    return work(job, chunk.to(device), Throttled(tell))


class Throttled:
    """Passes on one call in a while."""

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
