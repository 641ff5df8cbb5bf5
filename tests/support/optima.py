"""Networks whose nearest misclassified point is known, and the distances that attacks find on them."""

import torch
from torch import Tensor, nn

import robench.algorithms as algorithms
from robench.access.microbatches import MicroBatcher
from robench.access.oracle import Oracle
from robench.classifiers.frozen import frozen_network
from robench.numerics.ball import Ball, distance
from robench.numerics.randomness import ExampleRandom
from robench.specs import AttackSpec, Norm, find_attack
from tests.support.networks import CPU


class Planes(nn.Module):
    """Logits scale (W x + b) + shift."""

    def __init__(self, w: Tensor, b: Tensor, scale: float = 1.0, shift: float = 0.0) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(w), nn.Parameter(b)
        self.scale, self.shift = scale, shift

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * (x.flatten(1) @ self.w.T + self.b) + self.shift


class Pieces(nn.Module):
    """Two classes: logits (0, max or min of W x + b over the rows): class 0's region has edges or corners."""

    def __init__(self, w: Tensor, b: Tensor, corner: bool) -> None:
        super().__init__()
        self.w, self.b, self.corner = nn.Parameter(w), nn.Parameter(b), corner

    def forward(self, x: Tensor) -> Tensor:
        f = x.flatten(1) @ self.w.T + self.b
        f = f.amin(1) if self.corner else f.amax(1)
        return torch.stack([torch.zeros_like(f), f], 1)


def grey(n: int, seed: int = 0, half: float = 0.05) -> Tensor:
    """Images 2x3x3 around grey, so that no optimum meets the box."""
    return 0.5 + half * (2 * torch.rand(n, 2, 3, 3, generator=torch.Generator().manual_seed(seed)) - 1)


def linear(n: int = 24, k: int = 5, seed: int = 0, half: float = 0.05, **how: float) -> tuple[Planes, Tensor, Tensor]:
    """A linear network of k classes that disagree about grey images, and what it calls them."""
    return among(grey(n, seed, half), k, seed, **how)


def among(x: Tensor, k: int, seed: int = 0, **how: float) -> tuple[Planes, Tensor, Tensor]:
    """A linear network of k classes that disagree about the images x, and what it calls them."""
    w = torch.randn(k, x[0].numel(), generator=torch.Generator().manual_seed(seed + 1))
    model = Planes(w, -(w @ x.flatten(1).mean(0)), **how).eval()
    return model, x, model(x).argmax(1)


def exact(model: Planes, x: Tensor, y: Tensor, norm: str, mask: Tensor | None = None) -> Tensor:
    """The distance to the nearest boundary of any class, along the values that may change, in float64."""
    w, b = model.w.detach().double(), model.b.detach().double()
    z = x.double().flatten(1) @ w.T + b
    lead, normals = z.gather(1, y[:, None]) - z, w[y][:, None] - w
    normals = normals if mask is None else normals * mask.flatten(1)[:, None]
    length = torch.linalg.vector_norm(normals, {"linf": 1, "l2": 2, "l1": float("inf")}[norm], dim=2)
    return (lead / length).masked_fill(nn.functional.one_hot(y, len(b)).bool(), float("inf")).amin(1)


class Nearest(Oracle):
    """Remembers how near the nearest misclassified candidate of each example came."""

    near: Tensor

    def _look(self, x, logits, won, chunk_rows, candidate, numbers):
        if candidate:
            away = distance(x, self.ball.center[chunk_rows], self.ball.norm)
            away[logits.argmax(1) == self.y[chunk_rows]] = float("inf")
            self.near.scatter_reduce_(0, chunk_rows, away, "amin")


def nearest(
    model: nn.Module, x: Tensor, y: Tensor, attack: str | AttackSpec, norm: Norm, mask=None, **params
) -> Tensor:
    """The smallest distance (N,) at which a minimum-norm attack finds each example misclassified."""
    spec = find_attack(attack) if isinstance(attack, str) else attack
    steps = params.pop("steps", spec.steps)
    spec = spec.model_copy(update={"params": {**spec.params, **params}, "steps": steps, "restarts": 1})
    algorithm, ball, ids = algorithms.bind(spec), Ball(x, norm, 1.0, mask), torch.arange(len(x))
    with frozen_network(model, CPU) as frozen:
        oracle = Nearest(
            frozen,
            ball,
            y,
            ids,
            access=spec.access,
            bounds=algorithm.bounds,
            batcher=MicroBatcher(64),
            precision="fp32",
        )
        oracle.near = torch.full_like(y, 0, dtype=torch.float64) + float("inf")
        noise = ExampleRandom(0, spec.stream, tuple(ids.tolist()))
        task = algorithms.Task(x, y, ball, noise, oracle, frozen.scale, frozen.margin, spec.steps)
        state = algorithm.init(task)
        for t in range(spec.steps):
            state = algorithm.step(state, t, task)
        oracle.logits(state.x, candidate=True)
    return oracle.near
