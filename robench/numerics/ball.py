"""The set of allowed points around each example.

All tensors have a leading example axis: x is (N, C, H, W), distances are (N,).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from robench.numerics.norms import P_NORMS, TINY, Draw, PNorm, per_example, restricted
from robench.specs import Norm

__all__ = ["TINY", "Ball", "distance", "finite", "in_box", "onto_hyperplane", "per_example"]


def distance(a: Tensor, b: Tensor, norm: Norm) -> Tensor:
    """Return the distance of each example, (N,), in float64."""
    return P_NORMS[norm].distance(a, b)


def onto_hyperplane(x: Tensor, w: Tensor, change: Tensor, norm: Norm) -> Tensor:
    """Find the smallest d with w . d = change and x + d in [0, 1]; see `PNorm.onto_hyperplane`."""
    return P_NORMS[norm].onto_hyperplane(x, w, change)


@dataclass(frozen=True)
class Ball:
    """All points of [0, 1] within `eps` of `center` (N, C, H, W) in `norm` that change no value outside `mask`.

    Attributes:
        center: the clean examples.
        norm, eps: the norm and the radius.
        mask: the values that may change, bool (N, C, H, W); None if all may.
    """

    center: Tensor
    norm: Norm
    eps: float
    mask: Tensor | None = None

    @property
    def p_norm(self) -> PNorm:
        """The geometry of the norm."""
        return P_NORMS[self.norm]

    def project(self, x: Tensor) -> Tensor:
        """Bring points back onto the mask, into the ball and into [0, 1]; in l1 to the nearest such point."""
        return self.p_norm.nearest(x, self.center, self.eps, self.mask)

    def restrict(self, values: Tensor) -> Tensor:
        """Set perturbations or gradients to 0 outside the mask."""
        return restricted(values, self.mask)

    def restore(self, x: Tensor) -> Tensor:
        """Give points the values of the clean examples outside the mask."""
        return x if self.mask is None else torch.where(self.mask, x, self.center)

    def keeps_fixed(self, x: Tensor) -> Tensor:
        """Tell which points have exactly the values of the clean examples outside the mask, (N,) bool."""
        if self.mask is None:
            return torch.ones(len(x), dtype=torch.bool, device=x.device)
        return (self.mask | (x == self.center)).flatten(1).all(1)

    def steepest(self, gradient: Tensor) -> Tensor:
        """Return the unit-norm direction of steepest ascent (paper, Lemma 1): sign for linf, g/|g| for l2.

        In l1 it is the sign of the largest entry; the walls of [0, 1] are in its way, so attacks use `ascend`.
        """
        return self.p_norm.steepest(self.restrict(gradient))

    def ascend(self, x: Tensor, gradient: Tensor, length: Tensor | float) -> Tensor:
        """Take a step of steepest ascent from x, which `project` brings back; in l1 see `L1.ascend`.

        Args:
            x: points like `center`.
            gradient: (N, C, H, W).
            length: of the step in the norm, a number or (N, 1, 1, 1).
        """
        return self.p_norm.ascend(x, self.restrict(gradient), length, self.center, self.eps)

    def dual(self, gradient: Tensor) -> Tensor:
        """Return the dual norm of each gradient, (M,): the speed at which a linear function grows in its direction.

        The gradients are those of the oracle, which are 0 outside the mask; there may be several for each example.
        """
        return self.p_norm.dual(gradient)

    def draws(self, uniform: Draw, normal: Draw) -> tuple[Tensor, ...]:
        """Draw the random numbers that `random_point` needs, from a source of uniform and one of normal numbers."""
        return self.p_norm.draws(tuple(self.center.shape[1:]), uniform, normal)

    def random_point(self, *draws: Tensor) -> Tensor:
        """Return a point drawn uniformly from the ball, then clipped to [0, 1].

        Args:
            draws: what the method `draws` returns: for linf uniform numbers like `center`, for l2 uniform numbers
                (N,) for the radius and standard normal ones like `center` for the direction, for l1 two uniform
                numbers for each value, (N, 2, C, H, W).
        """
        return self.p_norm.place(self.center, self.p_norm.random_delta(self.eps, *draws, free=self.mask))

    def contains(self, x: Tensor) -> Tensor:
        """Tell which points are near enough, (N,) bool, up to the norm's tolerance for rounding; see `keeps_fixed`."""
        return distance(x, self.center, self.norm) <= self.eps + self.p_norm.tolerance(self.eps)

    def take(self, rows: Tensor) -> "Ball":
        """Return the ball around some of the examples."""
        return Ball(self.center[rows], self.norm, self.eps, None if self.mask is None else self.mask[rows])


def in_box(x: Tensor) -> Tensor:
    """Tell which points have every value in [0, 1], (N,) bool."""
    flat = x.flatten(1)
    return (flat.amin(1) >= 0) & (flat.amax(1) <= 1)  # NaN compares with nothing


def finite(x: Tensor) -> Tensor:
    """Tell which rows have no NaN and no infinity, (N,) bool."""
    # The extremes are NaN or infinite if any value is; looking at every value takes fifteen times as long.
    flat = x.flatten(1)
    return torch.isfinite(flat.amin(1)) & torch.isfinite(flat.amax(1))
