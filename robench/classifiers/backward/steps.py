"""Stand-ins for functions whose values jump: rounding, comparisons, choices of the largest.

Each gets the result of a function of torch and the function's arguments.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from robench.classifiers.backward.carried import carried, carry, smooth_of

WIDTH = 0.05
"""Width over which a single threshold is smoothed, in units of the compared values."""


def identity(result: Tensor, x: Tensor, *others: Any, **named: Any) -> Tensor:
    """Pass the gradient straight through a rounding."""
    found: Tensor = smooth_of(x)
    return found


def quotient(result: Tensor, x: Any, divisor: Any, *others: Any, **named: Any) -> Any:
    """Pass the gradient of a division through a rounded division."""
    return smooth_of(x) / smooth_of(divisor)


def none(result: Tensor, *others: Any, **named: Any) -> Tensor:
    """Pass no gradient: that of x mod 1, which a rounding takes away from x."""
    return result.detach()


def ramp(result: Tensor, x: Tensor, *others: Any, **named: Any) -> Tensor:
    """Pass the gradient of a sign where the value lies in [-1, 1] (Courbariaux et al., Binarized networks, 2016)."""
    found: Tensor = smooth_of(x).clamp(-1, 1)
    return found


def above(result: Tensor, x: Any, threshold: Any, *others: Any, **named: Any) -> Tensor:
    """Smooth x > threshold by a sigmoid, half as wide as thresholds lie apart."""
    return torch.sigmoid((smooth_of(x) - smooth_of(threshold)) / _width(x, threshold))


def below(result: Tensor, x: Any, threshold: Any, *others: Any, **named: Any) -> Tensor:
    """Smooth x < threshold."""
    return torch.sigmoid((smooth_of(threshold) - smooth_of(x)) / _width(x, threshold))


def bucket(result: Tensor, x: Tensor, boundaries: Tensor, *others: Any, **named: Any) -> Tensor:
    """Smooth the number of boundaries below a value."""
    return torch.sigmoid((smooth_of(x)[..., None] - boundaries) / _width(boundaries)).sum(-1)


def searched(result: Tensor, boundaries: Tensor, x: Tensor, *others: Any, **named: Any) -> Tensor:
    """Smooth `torch.searchsorted`, which takes the boundaries first."""
    return bucket(result, x, boundaries)


def _width(*compared: Any) -> float:
    """Return half the distance of constant thresholds; `WIDTH` if there is but one."""
    for values in compared:
        constant = isinstance(values, Tensor) and not values.requires_grad and carried(values) is None
        if constant and values.numel() > 1:
            gaps = values.flatten().unique().diff()
            if len(gaps):
                return float(gaps.median()) / 2
    return WIDTH


def largest(result: Tensor, x: Tensor, dim: int | None = None, keepdim: bool = False, **named: Any) -> Tensor | None:
    """Smooth `argmax` by a softmax."""
    return None if dim is None else _choice(result, smooth_of(x), dim, keepdim)


def smallest(result: Tensor, x: Tensor, dim: int | None = None, keepdim: bool = False, **named: Any) -> Tensor | None:
    """Smooth `argmin` by a softmax of the negative values."""
    return None if dim is None else _choice(result, -smooth_of(x), dim, keepdim)


def largest_of(result: Any, x: Tensor, dim: int | None = None, keepdim: bool = False, **named: Any) -> Any:
    """Let the indices of `max(dim)` carry a softmax; its values have a gradient."""
    return _with_indices(result, x, dim, keepdim, 1.0)


def smallest_of(result: Any, x: Tensor, dim: int | None = None, keepdim: bool = False, **named: Any) -> Any:
    """Let the indices of `min(dim)` carry a softmax; its values have a gradient."""
    return _with_indices(result, x, dim, keepdim, -1.0)


def _with_indices(result: Any, x: Tensor, dim: Any, keepdim: bool, sign: float) -> Any:
    if isinstance(dim, int) and hasattr(result, "indices"):
        _choice(result.indices, sign * smooth_of(x), dim, keepdim)
    return result if carried(x) is None else None


def scattered(result: Tensor, table: Tensor, dim: int, index: Tensor, src: Any, **named: Any) -> Tensor | None:
    """Smooth a one-hot code that is scattered along a dimension."""
    found = carried(index)
    if found is None or found.shares is None or index.shape[dim] != 1:
        return None
    shares = found.shares.squeeze(dim if dim >= 0 else dim - 1).movedim(-1, dim)
    return None if shares.shape != result.shape else smooth_of(table) * (1 - shares) + smooth_of(src) * shares


def _choice(result: Tensor, z: Tensor, dim: int, keepdim: bool) -> Tensor:
    """Let chosen numbers carry a softmax so sharp that about three candidates take part."""
    z = z.movedim(dim, -1)
    top = z.detach().topk(min(3, z.shape[-1]), -1).values
    spread = (top[..., :1] - top[..., -1:]) / 2 if z.shape[-1] > 2 else torch.ones_like(top[..., :1])
    shares = torch.softmax(z / spread.clamp_min(torch.finfo(z.dtype).tiny ** 0.5), -1)
    mean = shares @ torch.arange(z.shape[-1], dtype=z.dtype, device=z.device)
    if keepdim:
        return carry(result, mean.unsqueeze(dim), shares.unsqueeze(dim if dim >= 0 else dim - 1))
    return carry(result, mean, shares)


def one_hot(result: Tensor, number: Tensor, *others: Any, **named: Any) -> Tensor | None:
    """Smooth the one-hot code of whole numbers."""
    return _coded(number, result.shape[-1])


def embedded(result: Tensor, number: Tensor, table: Tensor, *others: Any, **named: Any) -> Tensor | None:
    """Smooth the rows of a table (K, D) that whole numbers choose."""
    return taken(result, table, number)


def taken(result: Tensor, table: Tensor, number: Any) -> Tensor | None:
    """Smooth `table[number]` for a table (K, ...) of constants."""
    if carried(number) is None or number.dtype == torch.bool or not table.is_floating_point():
        return None
    code = _coded(number, len(table))
    return None if code is None else (code.to(table.dtype) @ table.reshape(len(table), -1)).reshape(result.shape)


def _coded(number: Tensor, classes: int) -> Tensor | None:
    """Return a stand-in (..., K) for the one-hot code of whole numbers.

    Without shares of the classes, a step of the number moves the code from the class below to the class above.
    """
    found = carried(number)
    if found is None:
        return None
    if found.shares is not None and found.shares.shape[-1] == classes:
        return found.shares
    up, down = (F.one_hot((number + step).clamp(0, classes - 1).long(), classes) for step in (1, -1))
    return (found.smooth - found.smooth.detach())[..., None] * (up - down).to(found.smooth.dtype) / 2
