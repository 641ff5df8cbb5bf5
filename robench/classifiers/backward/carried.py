"""Whole numbers and truth values that remember a differentiable stand-in, and the rules of a shipped gradient."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

from robench.classifiers.backward.straight_through import shown

PLACE = "_robench_carried"
"""Attribute of a tensor that holds what it carries."""


@dataclass(frozen=True)
class Carried:
    """The gradient of a tensor of whole numbers or truth values, which cannot have one itself.

    Attributes:
        smooth: a float tensor of the same shape and values, with a gradient.
        shares: how much each class takes part in each number, (..., K), if the numbers came from an argmax.
    """

    smooth: Tensor
    shares: Tensor | None = None


def carried(value: Any) -> Carried | None:
    """Return what a tensor carries; None if it carries nothing."""
    return getattr(value, PLACE, None) if isinstance(value, Tensor) else None


def carry(value: Tensor, smooth: Tensor, shares: Tensor | None = None) -> Tensor:
    """Let whole numbers carry the gradient of `smooth`, a tensor of the same shape; return the numbers."""
    setattr(value, PLACE, Carried(shown(value.to(smooth.dtype), smooth), shares))
    return value


def drop(value: Tensor) -> None:
    """Forget what a tensor carries."""
    if carried(value) is not None:
        delattr(value, PLACE)


def smooth_of(value: Any) -> Any:
    """Return the differentiable stand-in of a tensor; return anything else as it is."""
    found = carried(value)
    return value if found is None else found.smooth


def has_gradient(value: Any) -> bool:
    """Tell whether a tensor, or one inside a structure, has a gradient or carries one."""
    return any(
        isinstance(each, Tensor) and (each.requires_grad or carried(each) is not None) for each in tree_leaves(value)
    )


def carrying(value: Any, smooth: Any) -> Any:
    """Return a result with the gradient of its stand-in; without a fitting stand-in, the result alone."""
    if isinstance(value, tuple | list) and isinstance(smooth, tuple | list) and len(value) == len(smooth):
        made = [carrying(*pair) for pair in zip(value, smooth, strict=True)]
        return made if isinstance(value, list) else tuple(made)
    fits = isinstance(value, Tensor) and isinstance(smooth, Tensor) and value.shape == smooth.shape
    if not fits or not smooth.requires_grad:
        return value
    return shown(value, smooth) if value.is_floating_point() else carry(value, smooth)


Rule = Callable[..., Any]
"""Maker of a stand-in: it gets a function's result and its arguments; None if the rule does not apply."""


@dataclass(frozen=True)
class Gradients:
    """A shipped gradient.

    Attributes:
        about: the parts that get a gradient.
        rules: by the names of functions of torch (`round`, `gt`), how the stand-in of their result is made.
        codecs: whether images that leave torch and come back (PIL, NumPy, torchvision.io) keep their gradient.
        version: raised when a change can alter verdicts.
    """

    about: str
    rules: Mapping[str, Rule] = field(default_factory=dict)
    codecs: bool = False
    version: int = 1
