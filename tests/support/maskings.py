"""Networks without robustness whose gradients mislead, and honest networks that look unusual."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from robench.classifiers import load_model

Change = Callable[[Tensor], Tensor]


def defense(name: str) -> Any:
    """Return a registered defense of the digits."""
    return load_model(f"digits/{name}").eval()


def shown(value: Tensor, slope: Tensor) -> Tensor:
    """Return a tensor with the value of one tensor and the gradient of another."""
    return value.detach() + slope - slope.detach()


class Behind(nn.Module):
    """digits/standard, which has no robustness, behind a change of its input."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.network, self.change = defense("standard"), change

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.network(self.change(x))
        return answer


class Logits(nn.Module):
    """digits/standard with other logits; `change` gets logits and images."""

    def __init__(self, change: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.network, self.change = defense("standard"), change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.network(x), x)


class Hooked(torch.autograd.Function):
    """The image as it is; a function changes the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, change: Change) -> Tensor:
        ctx.change = change
        return x.clone()

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        return ctx.change(slope), None


def hooked(change: Change) -> Callable[[], nn.Module]:
    """Return a maker of a network with changed gradients."""
    return lambda: Behind(lambda x: Hooked.apply(x, change))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def some_pixels(share: float) -> Tensor:
    kept = torch.zeros(64)
    kept[torch.randperm(64, generator=generator())[: int(64 * share)]] = 1
    return kept.view(1, 1, 8, 8)


def through(kept: Tensor) -> Callable[[], nn.Module]:
    """Return a maker of a network whose gradient passes where `kept` is 1."""
    return lambda: Behind(lambda x: kept * x + (1 - kept) * x.detach())


def three_rows() -> Tensor:
    kept = torch.zeros(1, 1, 8, 8)
    kept[:, :, :3] = 1
    return kept


def smooth(x: Tensor) -> Tensor:
    return F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)


class Steps(torch.autograd.Function):
    """Eight levels; the straight-through gradient has the wrong scale and sign in half of the columns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (8 * x).round() / 8

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        scale = torch.ones_like(slope)
        scale[..., ::2] = -3.0
        return scale * slope


class Beside(nn.Module):
    """A member without gradient beside a robust one with gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.shown = defense("standard"), defense("pgdat")

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            hidden = self.hidden(x)
        answer: Tensor = hidden + self.shown(x)
        return answer


class Other(nn.Module):
    """The logits of one network with the gradient of another."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.other = defense("standard"), defense("pgdat")

    def forward(self, x: Tensor) -> Tensor:
        return shown(self.network(x), self.other(x))


class Residual(nn.Module):
    """A robust network's logits plus the detached difference to a network without robustness: a stopped branch."""

    def __init__(self) -> None:
        super().__init__()
        self.network, self.trunk = defense("standard"), defense("pgdat")

    def forward(self, x: Tensor) -> Tensor:
        trunk: Tensor = self.trunk(x)
        return trunk + 0.8 * (self.network(x) - trunk).detach()


class Winners(nn.Module):
    """Features of digits/standard of which the larger half counts twice; the gradient sees the smaller half only."""

    def __init__(self) -> None:
        super().__init__()
        self.network = defense("standard")

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.network.features(x)
        large = z > z.median(1, keepdim=True).values
        answer: Tensor = self.network.head(torch.where(large, z.detach(), z))
        return answer


def random_signs(slope: Tensor) -> Tensor:
    """Random signs for about half of the examples, chosen by the gradient itself: the same in every batch."""
    bits = (slope.flatten(1).abs().sum(1) * 1e4).long() % 2 == 0
    signs = torch.where(torch.rand(slope.shape[1:], generator=generator()) < 0.5, -1.0, 1.0)
    return torch.where(bits[:, None, None, None], signs * slope, slope)


def some_zero(slope: Tensor) -> Tensor:
    """A hook that zeroes the gradients of micro-batches with an even number of examples."""
    return slope if len(slope) % 2 else torch.zeros_like(slope)


MASKED: dict[str, Callable[[], nn.Module]] = {
    "16 of 64 pixels": through(some_pixels(0.25)),
    "3 of 8 rows": through(three_rows()),
    "standard without gradient beside a robust network": Beside,
    "gradient of the robust network": Other,
    "gradient clipped to its sign, on a fifth of the pixels": hooked(lambda g: g.sign() * some_pixels(0.2)),
    "gradient of a smoothed copy": lambda: Behind(lambda x: shown(x, smooth(x))),
    "gradient of the high frequencies": lambda: Behind(lambda x: shown(x, x - smooth(x))),
    "rounding, wrong straight-through gradient": lambda: Behind(Steps.apply),
    "random scales of the pixels": hooked(lambda g: g * torch.rand(1, 1, 8, 8, generator=generator()) ** 8),
    "random signs on half of the examples": hooked(random_signs),
    "saturated softmax": lambda: Logits(lambda z, x: (20 * z).softmax(1)),
    "zero gradients in some batches": hooked(some_zero),
    "a stopped branch": Residual,
    "half of the features detached": Winners,
    "shifted by two pixels": hooked(lambda g: g.roll((2, 2), (2, 3))),
    "reversed": hooked(lambda g: -g),
    "gradient of the mean intensity": lambda: Behind(lambda x: shown(x, x.mean((1, 2, 3), keepdim=True).expand_as(x))),
}
"""Networks without robustness at linf 0.2 whose gradients mislead, by what is wrong with the gradients."""


class Small(nn.Module):
    """A small convolutional network with random weights."""

    def __init__(self, activation: Change, pool: Callable[..., Tensor] = F.avg_pool2d) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.first, self.last = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(128, 32), nn.Linear(32, 10)
        self.activation, self.pool = activation, pool

    def forward(self, x: Tensor) -> Tensor:
        z = self.pool(torch.relu(self.conv(x)), 2).flatten(1)
        answer: Tensor = self.last(self.activation(self.first(z)))
        return answer


class Cast(nn.Module):
    """A network in another type between float32 images and logits."""

    def __init__(self, network: nn.Module, kind: torch.dtype) -> None:
        super().__init__()
        self.network, self.kind = network.to(kind), kind

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.network(x.to(self.kind)).float()
        return answer


class Plus(nn.Module):
    """A defense whose logits have a bias."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        self.network, self.bias = defense("pgdat"), bias

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.network(x) + self.bias
        return answer


def k_winners(z: Tensor) -> Tensor:
    return z * torch.zeros_like(z).scatter(1, z.topk(8, dim=1).indices, 1.0)


HONEST: dict[str, Callable[[], nn.Module]] = {
    "GELU": lambda: Small(F.gelu),
    "SiLU": lambda: Small(F.silu),
    "k-winners": lambda: Small(k_winners),
    "max-pooling": lambda: Small(torch.relu, F.max_pool2d),
    "float64": lambda: Cast(defense("pgdat"), torch.float64),
    "bfloat16": lambda: Cast(Small(torch.relu), torch.bfloat16),
    "a bias of the logits": lambda: Plus(1e5),
}
"""Honest networks that an indicator could accuse."""
