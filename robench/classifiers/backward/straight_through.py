"""Parts of a network that keep their values and get another gradient."""

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from robench.errors import InputError


class _Shown(torch.autograd.Function):
    """Show one tensor, and pass its gradient to another one of the same shape."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, smooth: Tensor) -> Tensor:
        ctx.kind = smooth.dtype, smooth.device
        return value.detach().clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor]:
        kind, device = ctx.kind
        return None, gradients[0].to(device, kind)


def shown(value: Tensor, smooth: Tensor) -> Tensor:
    """Return exactly `value`, whose gradient is that of `smooth`, a tensor of the same shape."""
    found: Tensor = _Shown.apply(value, smooth)
    return found


class StraightThrough(nn.Module):
    """Give the values of one function and the gradient of another.

    Args:
        part: maps a tensor to a tensor; it needs no gradient.
        smooth: a differentiable function with outputs of the same shape; None for the identity.
    """

    def __init__(self, part: Callable[..., Tensor], smooth: Callable[..., Tensor] | None = None) -> None:
        super().__init__()
        self.part, self.smooth, self.training = part, smooth, False  # no mode of its own

    def forward(self, x: Tensor, *others: Any, **named: Any) -> Tensor:
        """Return the part's values; further arguments are passed on.

        Raises:
            InputError: values and gradient have different shapes.
        """
        with torch.no_grad():
            value = self.part(x.detach().clone(), *others, **named)
        smooth = x if self.smooth is None else self.smooth(x, *others, **named)
        if value.shape != smooth.shape:
            what = "its input has" if self.smooth is None else "smooth gives"
            raise InputError(
                f"robench.straight_through: the part gives shape {tuple(value.shape)}, {what} {tuple(smooth.shape)}: "
                "name a differentiable function with outputs of the part's shape, straight_through(part, smooth)."
            )
        return shown(value, smooth)


def straight_through(part: Callable[..., Tensor], smooth: Callable[..., Tensor] | None = None) -> Any:
    """Return a part with the same values and the gradient of `smooth`, for a `backward` function.

    Args:
        part: a module or a function from a tensor to a tensor that has no gradient, or a useless one: rounding, JPEG.
        smooth: a differentiable function that is close to the part and gives outputs of the same shape; None for the
            identity, if the part gives outputs of the shape of its input (the straight-through gradient).

    Returns:
        A module; for a method of a module a function, because a module cannot take the place of a method.
    """
    made = StraightThrough(part, smooth)
    of_module = isinstance(part, MethodType) and isinstance(part.__self__, nn.Module)
    return made.forward if of_module else made
