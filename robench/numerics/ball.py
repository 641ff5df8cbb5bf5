"""The set of allowed points around each example, and the geometry of its norm.

All tensors have a leading example axis: x is (N, C, H, W), distances are (N,).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, where

from robench.specs import Norm

TINY = 1e-30


def per_example(values: Tensor, like: Tensor) -> Tensor:
    """Reshape (N,) so that it broadcasts against (N, ...)."""
    return values.view(-1, *[1] * (like.dim() - 1))


def distance(a: Tensor, b: Tensor, norm: Norm) -> Tensor:
    """The distance of each example, (N,), in float64."""
    difference = (a.double() - b.double()).flatten(1)
    return difference.abs().amax(1) if norm == "linf" else difference.norm(dim=1)


@dataclass(frozen=True)
class Ball:
    """All points of [0, 1] within `eps` of `center` (N, C, H, W) in `norm`."""

    center: Tensor
    norm: Norm
    eps: float

    def project(self, x: Tensor) -> Tensor:
        """Bring points back: first into the ball, then into [0, 1], which keeps them in the ball."""
        delta = x - self.center
        if self.norm == "linf":
            delta = delta.clamp(-self.eps, self.eps)
        else:
            length = delta.flatten(1).norm(dim=1).clamp_min(TINY)
            delta = delta * per_example((self.eps / length).clamp_max(1.0), delta)
        return (self.center + delta).clamp(0.0, 1.0)

    def steepest(self, gradient: Tensor) -> Tensor:
        """The unit-norm direction of steepest ascent (paper, Lemma 1): sign for linf, g/|g| for l2."""
        if self.norm == "linf":
            return gradient.sign()
        # Scaled by the largest entry first: the square of a tiny gradient would underflow to zero.
        largest = gradient.flatten(1).abs().amax(1).clamp_min(TINY)
        scaled = gradient / per_example(largest, gradient)
        return scaled / per_example(scaled.flatten(1).norm(dim=1).clamp_min(TINY), gradient)

    def dual(self, gradient: Tensor) -> Tensor:
        """The dual norm of each gradient, (N,): how fast a linear function grows along `steepest`."""
        flat = gradient.flatten(1).double()
        return (flat.abs().sum(1) if self.norm == "linf" else flat.norm(dim=1)).to(gradient.dtype)

    def random_point(self, uniform: Tensor, normal: Tensor | None = None) -> Tensor:
        """A point drawn uniformly from the ball, then clipped to [0, 1].

        Args:
            uniform: numbers in [0, 1), like `center` for linf, (N,) for l2 (the radius).
            normal: standard normal numbers like `center`, for l2 (the direction).
        """
        if self.norm == "linf":
            delta = self.eps * (2 * uniform - 1)
        else:
            if normal is None:
                raise ValueError("a random point of an l2 ball needs normal numbers")
            radius = self.eps * uniform.pow(1 / self.center[0].numel())
            delta = self.steepest(normal) * per_example(radius, normal)
        return (self.center + delta).clamp(0.0, 1.0)

    def contains(self, x: Tensor) -> Tensor:
        """Which points are inside, (N,) bool, up to rounding: 1e-6 absolute for linf, 1e-5 relative for l2."""
        slack = 1e-6 if self.norm == "linf" else 1e-5 * self.eps
        return distance(x, self.center, self.norm) <= self.eps + slack

    def take(self, rows: Tensor) -> "Ball":
        """The ball around some of the examples."""
        return Ball(self.center[rows], self.norm, self.eps)


def onto_hyperplane(x: Tensor, w: Tensor, change: Tensor, norm: Norm) -> Tensor:
    """The smallest d with w . d = change and x + d in [0, 1] (Croce & Hein 2020a, Eq. 6), exactly.

    Every pixel moves towards its wall, at the same speed for linf and at speed |w_i| for l2, and stops there.
    What w . d has gained is piecewise linear in the time, with a knot at each stop.

    Args:
        x, w: images in [0, 1] and normals (N, C, H, W).
        change: (N,).
        norm: which the size of d is.

    Returns:
        d like x; where no point of [0, 1] lies on the hyperplane, the d that comes closest to it.
    """
    flat, normal, need = x.flatten(1).double(), w.flatten(1).double(), change.double()[:, None]
    toward = need.sign() * normal.sign()
    slope = normal.abs()
    room = where(toward > 0, 1 - flat, flat).clamp_min(0) * toward.abs()
    speed = slope if norm == "l2" else toward.abs()
    knots, order = where(speed > 0, room / speed.clamp_min(TINY), 0.0).sort(dim=1)
    gain, full = (slope * speed).gather(1, order), (slope * room).gather(1, order)
    stopped = full.cumsum(1)
    moving = gain.flip(1).cumsum(1).flip(1)
    gained = stopped + knots * (moving - gain)
    # The time lies before the first knot at which enough has been gained.
    knot = (gained < need.abs()).sum(1, keepdim=True)
    inside = knot.clamp_max(knots.shape[1] - 1)
    missing = need.abs() - (stopped - full).gather(1, inside)
    time = missing / moving.gather(1, inside).clamp_min(TINY)
    time = where(knot < knots.shape[1], time, float("inf"))
    d = toward * (time * speed).nan_to_num(0.0, posinf=float("inf")).minimum(room)
    return d.to(x.dtype).view_as(x)


def in_box(x: Tensor) -> Tensor:
    """Which points have every value in [0, 1], (N,) bool."""
    flat = x.flatten(1)
    return (flat.amin(1) >= 0) & (flat.amax(1) <= 1)  # NaN compares with nothing


def finite(x: Tensor) -> Tensor:
    """Which rows have no NaN and no infinity, (N,) bool."""
    # The extremes are NaN or infinite if any value is; looking at every value takes fifteen times as long.
    flat = x.flatten(1)
    return torch.isfinite(flat.amin(1)) & torch.isfinite(flat.amax(1))
