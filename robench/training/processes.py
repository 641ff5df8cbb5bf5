"""One process or several, started by `torchrun`."""

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
        rank: which of them this is; 0 writes and speaks.
        size: how many.
        device: of this one.
    """

    rank: int
    size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module, with gradients averaged over the processes; buffers stay each process's own."""
        if self.size == 1:
            return module
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of the argument's coming name
            return DistributedDataParallel(module, broadcast_buffers=False)

    def share(self, rows: Tensor) -> tuple[Tensor, float]:
        """This process's part of a mini-batch, and the weight of its mean loss in the mean over all examples.

        A mini-batch with fewer examples than processes goes whole to each of them.
        """
        if len(rows) < self.size:
            return rows, 1.0
        mine = rows[self.rank :: self.size]
        return mine, self.size * len(mine) / len(rows)

    def agree(self, values: tuple[float, ...]) -> tuple[float, ...]:
        """The leader's numbers, in every process: what they decide must be decided alike."""
        if self.size == 1:
            return values
        shared = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.broadcast(shared, 0)
        return tuple(shared.tolist())

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()


def leave() -> None:
    """Take leave of the other processes, while everything still works: at exit it may be too late for its threads."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def team(device: torch.device) -> Team:
    """Join the other processes if `torchrun` started several, else be alone; joined once, left at exit."""
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
