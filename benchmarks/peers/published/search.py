"""What the published attacks share: counted passes, the linf ball, and examples that leave when they are broken."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class CountedPasses(nn.Module):
    """A network that counts the images that pass it forwards and the gradients that pass it backwards."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.forwards = self.backwards = 0

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, K)."""
        logits: Tensor = self.model(x)
        self.forwards += len(x)
        if logits.requires_grad:
            logits.register_hook(self._passed_back)
        return logits

    def _passed_back(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


def project(points: Tensor, x: Tensor, eps: float) -> Tensor:
    """Points moved into the ball around x and into [0, 1]."""
    return torch.minimum(torch.maximum(points, x - eps), x + eps).clamp(0, 1)


def gradient(model: nn.Module, points: Tensor, objective: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of objective(logits) (N,) at the points, its values and the logits: a pass forwards, one back."""
    points = points.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(points)
        values = objective(logits)
    (found,) = torch.autograd.grad(values.sum(), points)
    return found, values.detach(), logits.detach()


def rival(scores: Tensor, y: Tensor) -> Tensor:
    """The largest score of a class other than y, (N,)."""
    return scores.scatter(1, y[:, None], -torch.inf).amax(1)


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """max_{i != y} z_i - z_y, (N,): above zero where the image is misclassified."""
    return rival(logits, y) - logits.gather(1, y[:, None])[:, 0]


class Search:
    """Images, their labels, and the misclassified points that were found so far.

    Attributes:
        points: the first misclassified point of each broken image, the image itself for all others.
        broken: bool (N,).
    """

    def __init__(self, model: nn.Module, x: Tensor, y: Tensor, eps: float, seed: int) -> None:
        self.model, self.x, self.y, self.eps = model, x, y, eps
        self.points, self.broken = x.clone(), torch.zeros_like(y, dtype=torch.bool)
        self.generator = torch.Generator(x.device).manual_seed(seed)

    @property
    def active(self) -> Tensor:
        """The rows that are not broken."""
        return (~self.broken).nonzero().flatten()

    def uniform(self, *shape: int, low: float = -1.0, high: float = 1.0) -> Tensor:
        """Random numbers."""
        draws = torch.rand(shape, generator=self.generator, device=self.x.device, dtype=self.x.dtype)
        return low + (high - low) * draws

    def start(self, rows: Tensor) -> Tensor:
        """A point drawn uniformly from the ball of each row, cut to [0, 1]."""
        return project(self.x[rows] + self.eps * self.uniform(*self.x[rows].shape), self.x[rows], self.eps)

    def look(self, rows: Tensor, points: Tensor) -> Tensor:
        """The logits of points; the misclassified are booked."""
        with torch.no_grad():
            logits: Tensor = self.model(points)
        self.book(rows, points, logits)
        return logits

    def book(self, rows: Tensor, points: Tensor, logits: Tensor) -> Tensor:
        """Remember the misclassified points; return which of the rows stay, bool."""
        wrong = logits.argmax(1) != self.y[rows]
        self.points[rows[wrong]], self.broken[rows[wrong]] = points[wrong], True
        return ~wrong
