"""The geometry of each norm: one class per norm, found by its name in `P_NORMS`.

All tensors have a leading example axis: images are (N, C, H, W), lengths are (N,).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from torch import Tensor, where

from robench.specs import Norm

TINY = 1e-30

Draw = Callable[[tuple[int, ...]], Tensor]
"""Takes the shape for one example and returns random numbers for all examples, (N, *shape)."""


def per_example(values: Tensor, like: Tensor) -> Tensor:
    """Reshape (N,) so that it broadcasts against (N, ...)."""
    return values.view(-1, *[1] * (like.dim() - 1))


def restricted(values: Tensor, free: Tensor | None) -> Tensor:
    """Return values with 0 where `free`, bool of the same shape, is False; all values if `free` is None."""
    return values if free is None else where(free, values, 0.0)


class PNorm(ABC):
    """Interface of a norm for attacks, the judge and training."""

    @abstractmethod
    def project(self, delta: Tensor, eps: float) -> Tensor:
        """Shorten perturbations so that their length is at most `eps`."""

    @abstractmethod
    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the direction of length 1 in which a linear function with this gradient grows fastest."""

    @abstractmethod
    def draws(self, shape: tuple[int, ...], uniform: Draw, normal: Draw) -> tuple[Tensor, ...]:
        """Draw the random numbers that `random_delta` needs for images of `shape` (C, H, W).

        Args:
            shape: of one image.
            uniform: draws numbers in [0, 1).
            normal: draws standard normal numbers.
        """

    @abstractmethod
    def random_delta(self, eps: float, *draws: Tensor, free: Tensor | None = None) -> Tensor:
        """Turn the numbers from `draws` into perturbations that are uniform in the ball of radius `eps`.

        Args:
            eps: the radius.
            draws: what the method `draws` returns.
            free: which values may differ from 0, bool like the images; None for all.
        """

    @abstractmethod
    def tolerance(self, eps: float) -> float:
        """Return the excess over `eps` that the judge accepts as rounding."""

    @abstractmethod
    def whole_box(self, shape: tuple[int, ...]) -> float:
        """Return the eps that allows every image of `shape` (C, H, W) in [0, 1]."""

    @abstractmethod
    def onto_hyperplane(self, x: Tensor, w: Tensor, change: Tensor) -> Tensor:
        """Find the smallest d with w . d = change and x + d in [0, 1] (Croce & Hein 2020a, Eq. 6), exactly.

        Args:
            x, w: images in [0, 1] and normals (N, C, H, W).
            change: (N,).

        Returns:
            d like x; where no point of [0, 1] lies on the hyperplane, the d that comes closest to it.
        """

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance of each example, (N,), in float64."""
        return self._length((a.double() - b.double()).flatten(1))

    def dual(self, gradient: Tensor) -> Tensor:
        """Return the dual norm of each gradient, (N,): the speed at which a linear function grows along `steepest`."""
        return self._dual_length(gradient.flatten(1).double()).to(gradient.dtype)

    @abstractmethod
    def _length(self, flat: Tensor) -> Tensor:
        """Return the norm of each row of (N, D), (N,)."""

    @abstractmethod
    def _dual_length(self, flat: Tensor) -> Tensor:
        """Return the dual norm of each row of (N, D), (N,)."""


@dataclass(frozen=True)
class Linf(PNorm):
    """The largest change of a value."""

    def project(self, delta: Tensor, eps: float) -> Tensor:
        """Clip every value to [-eps, eps]."""
        return delta.clamp(-eps, eps)

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the sign of the gradient (paper, Lemma 1)."""
        return gradient.sign()

    def draws(self, shape: tuple[int, ...], uniform: Draw, normal: Draw) -> tuple[Tensor, ...]:
        """Draw a uniform number for each value."""
        return (uniform(shape),)

    def random_delta(self, eps: float, *draws: Tensor, free: Tensor | None = None) -> Tensor:
        """Stretch the uniform numbers to [-eps, eps)."""
        (uniform,) = draws
        return restricted(eps * (2 * uniform - 1), free)

    def tolerance(self, eps: float) -> float:
        """Return 1e-6, whatever eps is."""
        return 1e-6

    def whole_box(self, shape: tuple[int, ...]) -> float:
        """Return 1, the width of the box."""
        return 1.0

    def onto_hyperplane(self, x: Tensor, w: Tensor, change: Tensor) -> Tensor:
        """Move every pixel with a slope at the same speed."""
        return _until_walls(x, w, change, speed=lambda slope, moves: moves)

    def _length(self, flat: Tensor) -> Tensor:
        return flat.abs().amax(1)

    def _dual_length(self, flat: Tensor) -> Tensor:
        return flat.abs().sum(1)


@dataclass(frozen=True)
class L2(PNorm):
    """The Euclidean length."""

    def project(self, delta: Tensor, eps: float) -> Tensor:
        """Scale perturbations that are longer than eps."""
        length = delta.flatten(1).norm(dim=1).clamp_min(TINY)
        return delta * per_example((eps / length).clamp_max(1.0), delta)

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return g / |g| (paper, Lemma 1)."""
        # Scaled by the largest entry first: the square of a tiny gradient would underflow to zero.
        largest = gradient.flatten(1).abs().amax(1).clamp_min(TINY)
        scaled = gradient / per_example(largest, gradient)
        return scaled / per_example(scaled.flatten(1).norm(dim=1).clamp_min(TINY), gradient)

    def draws(self, shape: tuple[int, ...], uniform: Draw, normal: Draw) -> tuple[Tensor, ...]:
        """Draw a uniform number for each radius, and normal numbers for each direction."""
        return uniform(()), normal(shape)

    def random_delta(self, eps: float, *draws: Tensor, free: Tensor | None = None) -> Tensor:
        """Return vectors of random radius in the direction of the normal numbers."""
        uniform, normal = draws
        size = normal[0].numel() if free is None else free.flatten(1).sum(1)
        radius = eps * uniform.pow(1 / size)
        return self.steepest(restricted(normal, free)) * per_example(radius, normal)

    def tolerance(self, eps: float) -> float:
        """Return a hundred-thousandth of eps."""
        return 1e-5 * eps

    def whole_box(self, shape: tuple[int, ...]) -> float:
        """Return the length of the box's diagonal."""
        diagonal: float = float(prod(shape)) ** 0.5
        return diagonal

    def onto_hyperplane(self, x: Tensor, w: Tensor, change: Tensor) -> Tensor:
        """Move every pixel at the speed of its slope |w_i|."""
        return _until_walls(x, w, change, speed=lambda slope, moves: slope)

    def _length(self, flat: Tensor) -> Tensor:
        length: Tensor = flat.norm(dim=1)
        return length

    def _dual_length(self, flat: Tensor) -> Tensor:
        length: Tensor = flat.norm(dim=1)
        return length


P_NORMS: dict[Norm, PNorm] = {"linf": Linf(), "l2": L2()}
"""The geometry of each norm by its name."""


def _until_walls(x: Tensor, w: Tensor, change: Tensor, speed: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Move every pixel towards its wall of [0, 1], at a constant speed, until w . d is `change`.

    The gain in w . d is piecewise linear in the time, with a knot where a pixel reaches its wall and stops.
    `speed` gets the slopes |w_i| and, as 0 or 1, whether a pixel moves at all; both (N, D).
    """
    flat, normal, need = x.flatten(1).double(), w.flatten(1).double(), change.double()[:, None]
    toward = need.sign() * normal.sign()
    slope, moves = normal.abs(), toward.abs()
    room = where(toward > 0, 1 - flat, flat).clamp_min(0) * moves
    pace = speed(slope, moves)
    knots, order = where(pace > 0, room / pace.clamp_min(TINY), 0.0).sort(dim=1)
    gain, full = (slope * pace).gather(1, order), (slope * room).gather(1, order)
    stopped = full.cumsum(1)
    moving = gain.flip(1).cumsum(1).flip(1)
    gained = stopped + knots * (moving - gain)
    # The time lies before the first knot at which enough has been gained.
    knot = (gained < need.abs()).sum(1, keepdim=True)
    inside = knot.clamp_max(knots.shape[1] - 1)
    missing = need.abs() - (stopped - full).gather(1, inside)
    time = missing / moving.gather(1, inside).clamp_min(TINY)
    time = where(knot < knots.shape[1], time, float("inf"))
    d = toward * (time * pace).nan_to_num(0.0, posinf=float("inf")).minimum(room)
    return d.to(x.dtype).view_as(x)
