"""Compute chunks as tasks of Ray, on the cores or GPUs of this machine or of a cluster.

The network and everything that all chunks share are put into Ray's object store once, a chunk's examples once, when
its turn comes. Only the calling process writes verdicts, under the record's lock: if a chunk is computed twice, because
its worker died or seemed dead, its result is passed on once. No checkpoints are made: a chunk that is interrupted
begins again.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property, partial
from itertools import islice
from pickle import PicklingError
from typing import Any

import ray
import torch
from ray.exceptions import RayError, RaySystemError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from robench.access.microbatches import AUTO
from robench.classifiers.frozen import FrozenNetwork
from robench.engine.executors.base import OnChunk, OnProgress
from robench.engine.executors.ray_cluster import connect
from robench.engine.executors.ray_progress import ProgressActor
from robench.engine.executors.ray_worker import CPU, PAUSE, ChunkPayload, JobPayload, attack
from robench.engine.loop import Chunk, Job
from robench.engine.saving import Checkpoints
from robench.engine.sizing import CHUNK
from robench.errors import IncompleteError, InputError, RobenchError
from robench.store import Rows

PARTS = 4
"""Chunks per worker if there are enough examples, so that all workers are busy to the end."""
AHEAD = 2
"""Chunks per worker that run or wait: workers need not wait for the next chunk, and memory holds no more."""
RETRIES = 4
"""Number of times that a chunk is tried again after its worker or its node died."""
DEVICES = ("auto", "cpu", "cuda")


class Ray:
    """Compute on workers of Ray, each with one core and one thread, or with one GPU.

    Args:
        device: device of the workers; "auto" takes GPUs if there are any.
        address: address of a cluster; None takes RAY_ADDRESS if it is set, else starts Ray on this machine.
        workers: number of workers of a Ray that is started here; by default one per core.

    Raises:
        InputError: the device names one certain GPU.
    """

    goes_on = False

    def __init__(self, device: str = "auto", address: str | None = None, workers: int | None = None) -> None:
        if device not in DEVICES:
            raise InputError(f"--device '{device}' with the engine ray: use {', '.join(DEVICES)}; Ray hands out GPUs.")
        self._wanted, self._address, self._cores = device, address, workers
        self._started = False
        self._sent: tuple[FrozenNetwork, Any] | None = None

    @property
    def device(self) -> torch.device:
        """Device of this process, which may lack the GPUs of workers."""
        return torch.device("cuda" if self._wanted != "cpu" and torch.cuda.is_available() else "cpu")

    def join(self) -> None:
        """Join the cluster and count its workers."""
        _ = self.workers

    def chunk_size(self, n: int, most: int) -> int:
        """Return a size with equally many chunks per worker, preferring full micro-batches; GPUs hold any chunk."""
        most = CHUNK if self._kind == "cuda" else most
        parts = min(max(n // (self.workers * AUTO[self._kind]), 1), PARTS)
        return min(max(-(-n // (self.workers * parts)), 1), most)

    def run(
        self,
        job: Job,
        chunks: Iterable[tuple[int, Chunk]],
        on_progress: OnProgress,
        on_chunk: OnChunk,
        checkpoints: Checkpoints | None = None,
    ) -> None:
        """Attack every chunk; after an error or Ctrl-C, pass finished chunks on and stop the others."""
        queue, room = iter(chunks), AHEAD * self.workers
        send = self._sender(job)
        flying: dict[Any, int] = {}
        news = self._progress_actor.news.remote()
        try:
            while True:
                for position, chunk in islice(queue, room - len(flying)):
                    flying[send(position, chunk)] = position
                if not flying:
                    return
                for task in ray.wait([*flying], timeout=PAUSE)[0]:
                    _hand_over(task, flying, on_chunk)
                if ray.wait([news], timeout=0)[0]:
                    for position, (restart, t, active) in ray.get(news).items():
                        on_progress(position, restart, t, active)
                    news = self._progress_actor.news.remote()
        finally:
            _abandon(flying, on_chunk)

    def close(self) -> None:
        """Stop the Ray that was started, or leave the cluster that was joined."""
        if self._started:
            ray.shutdown()
            self._started = False

    @cached_property
    def workers(self) -> int:
        """Number of chunks that can be computed at once."""
        cores, gpus = (int(self._resources.get(name, 0)) for name in ("CPU", "GPU"))
        found = min(cores, gpus) if self._kind == "cuda" else cores
        if not found:
            what = "GPU" if self._kind == "cuda" else "CPU"
            raise InputError(f"Ray has no {what} there: start its workers first (see `ray status`).")
        return found

    @cached_property
    def _resources(self) -> dict[str, float]:
        self._started = connect(self._address, self._cores)
        found: dict[str, float] = ray.cluster_resources()
        return found

    @cached_property
    def _kind(self) -> str:
        if self._wanted == "auto":
            return "cuda" if self._resources.get("GPU", 0) >= 1 else "cpu"
        return self._wanted

    @cached_property
    def _progress_actor(self) -> Any:
        """Actor on this machine, so that it lives as long as this process."""
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        meter = ray.remote(ProgressActor).options(
            num_cpus=0, max_restarts=-1, max_task_retries=-1, scheduling_strategy=here
        )
        return meter.remote()

    def _sender(self, job: Job) -> Callable[[int, Chunk], Any]:
        """Return a function that sends a chunk to a worker and returns the task."""
        network, order = self._network(job.network), ray.put(JobPayload.of(job, self._kind))
        # Ray would start a new process for every task on a GPU, unless told that any number of calls is fine.
        task = ray.remote(num_cpus=1, num_gpus=int(self._kind == "cuda"), max_calls=0, max_retries=RETRIES)(_task)

        def send(position: int, chunk: Chunk) -> Any:
            parcel = ray.put(ChunkPayload.of(chunk, job.crafted))
            return task.options(name=f"{job.spec.name} {position}").remote(
                network, order, parcel, position, self._progress_actor
            )

        return send

    def _network(self, network: FrozenNetwork) -> Any:
        """Return the network in the object store; consecutive attacks that see the same network share one copy."""
        bare = network.bare()
        if self._sent is None or self._sent[0] != bare:
            try:
                network.moved(CPU)
                sent = ray.put(bare)
            except (TypeError, PicklingError, AttributeError, RuntimeError) as error:
                said = str(error).splitlines()[0].rstrip(".:")
                raise InputError(f"the network cannot be sent to workers ({said}): use the engine local.") from error
            finally:
                network.moved(network.device)
            self._sent = bare, sent
        return self._sent[1]


def _task(
    network: FrozenNetwork, order: JobPayload, parcel: ChunkPayload, position: int, meter: Any
) -> tuple[Rows, dict[str, Any]]:
    return attack(network, order, parcel, partial(meter.tell.remote, position))


def _hand_over(task: Any, flying: dict[Any, int], on_chunk: OnChunk) -> None:
    """Pass on the result of a task, and only then forget the task."""
    on_chunk(flying[task], *_result(task))
    del flying[task]


def _result(task: Any) -> Any:
    try:
        return ray.get(task)
    except RayTaskError as error:
        if isinstance(error.cause, RobenchError):
            raise error.cause from None
        if isinstance(error.cause, RaySystemError | ModuleNotFoundError):
            said = str(error.cause).splitlines()[0].removeprefix("System error: ").rstrip(".")
            raise InputError(
                f"workers cannot unpack what they are sent ({said}): install it on all machines."
            ) from error
        raise
    except RayError as error:
        raise IncompleteError(
            f"a worker was lost {RETRIES + 1} times over one chunk ({type(error).__name__}): what is finished is kept; "
            "give workers more memory, or a smaller --batch-size, and run the same command again."
        ) from error


def _abandon(flying: dict[Any, int], on_chunk: OnChunk) -> None:
    """Pass on the results of finished tasks, and stop the other tasks."""
    if not flying:
        return
    ready, rest = ray.wait([*flying], num_returns=len(flying), timeout=0)
    for task in rest:
        ray.cancel(task, force=True)
    for task in ready:
        with suppress(RayError, RobenchError):  # the task failed as well: another error already ends the run
            _hand_over(task, flying, on_chunk)
