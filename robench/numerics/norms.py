"""The geometry of each norm: one class per norm, found by its name in `P_NORMS`.

All tensors have a leading example axis: images are (N, C, H, W), lengths are (N,).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from torch import Tensor, where, zeros_like

from robench.numerics import sparse
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

    def place(self, center: Tensor, delta: Tensor) -> Tensor:
        """Return the points of [0, 1] nearest to center + delta, for images `center` in [0, 1]."""
        return (center + delta).clamp(0.0, 1.0)

    def nearest(self, x: Tensor, center: Tensor, eps: float, free: Tensor | None = None) -> Tensor:
        """Bring points x into the ball around images `center`, and into [0, 1].

        First onto the values that may differ, `free`, then into the ball, then into [0, 1], which keeps points in it.
        """
        return self.place(center, self.project(restricted(x - center, free), eps))

    def ascend(self, x: Tensor, gradient: Tensor, length: Tensor | float, center: Tensor, eps: float) -> Tensor:
        """Take a step of steepest ascent in the ball around images `center`; the end may lie anywhere.

        Args:
            x, gradient: points and gradients (N, C, H, W).
            length: of the step, a number or (N, 1, 1, 1).
            center, eps: the ball.
        """
        return x + length * self.steepest(gradient)

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


@dataclass(frozen=True)
class L1(PNorm):
    """The sum of all changes.

    To project onto the ball and then clip to [0, 1] would leave a part of the ball unused, so `nearest` is the exact
    projection onto both at once, and `ascend` and `onto_hyperplane` know the walls (Croce & Hein 2021).
    Points are rounded towards the clean images, so that rounding takes no point out of the ball.
    """

    def project(self, delta: Tensor, eps: float) -> Tensor:
        """Move every value towards 0 by the same cut, at most to 0, if the sum is above eps."""
        flat = delta.flatten(1).double()
        return sparse.shortened(flat, flat.new_full(flat.shape, float("inf")), eps).to(delta.dtype).view_as(delta)

    def place(self, center: Tensor, delta: Tensor) -> Tensor:
        """Round towards the center and clip to [0, 1]."""
        return sparse.steps(center, delta.double()).clamp(0.0, 1.0)

    def nearest(self, x: Tensor, center: Tensor, eps: float, free: Tensor | None = None) -> Tensor:
        """Project exactly onto the intersection of ball, box and free values (Croce & Hein 2021)."""
        delta = restricted(x.double() - center.double(), free).flatten(1)
        d = sparse.shortened(delta, _room(center, delta), eps)
        return self.place(center, d.view_as(center))

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the sign of the largest entry of the gradient, and 0 elsewhere; the first of equal ones."""
        flat = gradient.flatten(1)
        place = flat.abs().argmax(1, keepdim=True)
        return zeros_like(flat).scatter(1, place, flat.gather(1, place).sign()).view_as(gradient)

    def ascend(self, x: Tensor, gradient: Tensor, length: Tensor | float, center: Tensor, eps: float) -> Tensor:
        """Go from x towards the end s of the steepest step of length eps from the center: x + (length / eps) (s - x).

        s is the best point of ball and box for a linear function: values go to their walls, the steepest first (Croce &
        Hein 2021). So the steps are sparse, stay in the ball, and lead to s if s does not change (Frank & Wolfe 1956).
        """
        flat = gradient.flatten(1).double()
        step = sparse.greedy(flat, _room(center, flat), flat.new_full((len(x),), eps)).view_as(x)
        share = length / eps
        share = share.clamp_max(1.0) if isinstance(share, Tensor) else min(share, 1.0)
        return x + share * (self.place(center, step) - x)

    def draws(self, shape: tuple[int, ...], uniform: Draw, normal: Draw) -> tuple[Tensor, ...]:
        """Draw two uniform numbers for each value: for the direction, and for the radius."""
        return (uniform((2, *shape)),)

    def random_delta(self, eps: float, *draws: Tensor, free: Tensor | None = None) -> Tensor:
        """Return vectors of random radius in the direction of numbers with density exp(-|t|) / 2."""
        (uniform,) = draws
        signed = 2 * uniform[:, 0].double() - 1
        laplace = restricted(-signed.sign() * (1 - signed.abs()).clamp_min(TINY).log(), free)
        size = laplace[0].numel() if free is None else free.flatten(1).sum(1)
        radius = eps * uniform[:, 1].flatten(1)[:, 0].double().pow(1 / size)
        length = laplace.flatten(1).abs().sum(1).clamp_min(TINY)
        return laplace * per_example(radius / length, laplace)

    def tolerance(self, eps: float) -> float:
        """Return a hundred-thousandth of eps."""
        return 1e-5 * eps

    def whole_box(self, shape: tuple[int, ...]) -> float:
        """Return the number of values."""
        return float(prod(shape))

    def onto_hyperplane(self, x: Tensor, w: Tensor, change: Tensor) -> Tensor:
        """Move pixels to their walls, those of the largest |w_i| first, until w . d is `change`."""
        slope = w.flatten(1).double() * change.double().sign()[:, None]
        return sparse.cheapest(slope, _room(x, slope), change.double().abs()).to(x.dtype).view_as(x)

    def _length(self, flat: Tensor) -> Tensor:
        return flat.abs().sum(1)

    def _dual_length(self, flat: Tensor) -> Tensor:
        return flat.abs().amax(1)


P_NORMS: dict[Norm, PNorm] = {"linf": Linf(), "l2": L2(), "l1": L1()}
"""The geometry of each norm by its name."""


def _room(x: Tensor, direction: Tensor) -> Tensor:
    """Return how far each value of images x can move in a direction (N, D) before it leaves [0, 1], float64 (N, D)."""
    flat = x.flatten(1).double()
    return where(direction > 0, 1 - flat, flat).clamp_min(0)


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
