"""Random weights of large networks at a fraction of the time: copied from a few drawn numbers, not each drawn anew."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

LARGE = 10_000
"""Numbers in the smallest tensor that is filled with copies: to draw fewer takes no time."""
DRAWN = 1_000_003
"""Numbers that are drawn once. Each tensor starts at a random one of them, so that no two layers are equal."""

PLAIN = (Tensor, nn.Parameter)
Fill = Callable[..., Tensor]


@contextmanager
def quick_weights() -> Iterator[None]:
    """Fill large tensors of float32 on the CPU with copies, those on meta not at all, all others as torch does."""
    generator = torch.Generator().manual_seed(0)
    normal, uniform = torch.randn(DRAWN, generator=generator), torch.rand(DRAWN, generator=generator)
    draw_normal, draw_uniform = Tensor.normal_, Tensor.uniform_

    def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: torch.Generator | None = None):
        if _is_empty(self):
            return self
        if not _is_large(self) or generator:
            return draw_normal(self, mean, std, generator=generator)
        return _copied(self, normal, std, mean)

    def uniform_(self: Tensor, low: float = 0.0, high: float = 1.0, *, generator: torch.Generator | None = None):
        if _is_empty(self):
            return self
        if not _is_large(self) or generator:
            return draw_uniform(self, low, high, generator=generator)
        return _copied(self, uniform, high - low, low)

    patched: dict[str, Fill] = {"normal_": normal_, "uniform_": uniform_}
    with pytest.MonkeyPatch.context() as patch:
        for name, fill in patched.items():
            patch.setattr(Tensor, name, fill, raising=False)
        yield


def _is_empty(tensor: Tensor) -> bool:
    return type(tensor) in PLAIN and tensor.is_meta


def _is_large(tensor: Tensor) -> bool:
    plain = type(tensor) in PLAIN and tensor.device.type == "cpu" and tensor.dtype == torch.float32
    return plain and tensor.numel() >= LARGE and tensor.is_contiguous()


@torch.no_grad()
def _copied(tensor: Tensor, numbers: Tensor, scale: float, shift: float) -> Tensor:
    """Fill a tensor with scaled and shifted numbers, from a random one on."""
    flat, start = tensor.view(-1), int(torch.randint(len(numbers), ()))
    while len(flat):
        some = numbers[start : start + len(flat)]
        flat[: len(some)].copy_(some)
        flat, start = flat[len(some) :], 0
    return tensor.mul_(scale).add_(shift)
