"""Training in one process, or in several that `torchrun` starts."""

import atexit
import os
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Team:
    """The processes that train one network together.

    Attributes:
        rank: number of this process; 0 writes files and reports.
        size: number of processes.
        device: of this process.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """True if this process writes files and reports."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module with gradients averaged over the processes; buffers are not shared."""
        if self.size == 1:
            return module
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # the argument is going to be renamed
            return DistributedDataParallel(module, broadcast_buffers=False)

    def share(self, rows: Tensor) -> tuple[Tensor, float]:
        """Return this process's part of a mini-batch, and the weight of its mean loss in the mean over all examples.

        If a mini-batch has fewer examples than there are processes, each process gets all of it.
        """
        if len(rows) < self.size:
            return rows, 1.0
        mine = rows[self.rank :: self.size]
        return mine, self.size * len(mine) / len(rows)

    def agree(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """Return the numbers of the main process in every process, so that all decide alike."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return tuple(shared.tolist())

    def wait(self) -> None:
        """Wait until every process has called this."""
        if self.size > 1:
            dist.barrier()


def leave() -> None:
    """Leave the other processes before Python shuts down, which may be too late for the threads of torch."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def team(device: torch.device) -> Team:
    """Join the other processes if `torchrun` started several; they are joined once and left at exit."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Team(0, 1, device)
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        atexit.register(leave)
    return Team(dist.get_rank(), size, device)
