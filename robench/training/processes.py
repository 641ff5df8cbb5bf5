"""One process or several, started by `torchrun`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
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
    def leads(self) -> bool:
        """Whether this process writes and speaks."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """The module, with gradients averaged over the processes; buffers stay each process's own."""
        return DistributedDataParallel(module, broadcast_buffers=False) if self.size > 1 else module

    def share(self, rows: Tensor) -> Tensor:
        """This process's part of a mini-batch."""
        return rows[self.rank :: self.size]

    def wait(self) -> None:
        """Until every process is here."""
        if self.size > 1:
            dist.barrier()


@contextmanager
def team(device: torch.device) -> Iterator[Team]:
    """Join the other processes if `torchrun` started several, else be alone."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        yield Team(0, 1, device)
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(dist.get_rank(), size, device)
    finally:
        dist.destroy_process_group()
