"""Functions of torch on whole numbers that carry a gradient: the values are theirs, the gradients their stand-ins'."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from robench.classifiers.backward.carried import carried, carry, carrying, drop, smooth_of

CASTS = {"to", "type", "type_as", "float", "double", "half", "bfloat16", "int", "long", "short", "char", "byte"}
"""Conversions of a tensor's type or device."""
NO_CHANGE = {"__iter__", "__invert__", "__index__", "__int__"}
"""Special methods that begin like those that change a tensor in place, and do not."""
LOGIC: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(("__and__", "logical_and", "bitwise_and"), lambda a, b: a * b),
    **dict.fromkeys(("__or__", "logical_or", "bitwise_or"), lambda a, b: a + b - a * b),
    **dict.fromkeys(("__invert__", "logical_not", "bitwise_not"), lambda a: 1 - a),
}
"""Stand-ins for functions of truth values."""
BITS: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(("__rshift__", "bitwise_right_shift"), lambda a, b: a / 2**b),
    **dict.fromkeys(("__lshift__", "bitwise_left_shift"), lambda a, b: a * 2**b),
    **dict.fromkeys(("__and__", "bitwise_and", "__or__", "bitwise_or"), lambda a, b: a),
}
"""Stand-ins for functions of bits: to keep the upper ones is a rounding."""


def name_of(function: Any) -> str:
    """Return the name of a function of torch, the same for methods, operators and their overloads."""
    return str(getattr(function, "__name__", "")).partition(".")[0]


def call(function: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
    """Call a function of torch, some of whose arguments carry a gradient; its result carries the gradient as well."""
    if name == "__setitem__":
        return _assign(*args)
    if name.startswith("__i") and name.endswith("__") and name not in NO_CHANGE:
        return _in_place(function, f"__{name[3:]}", args, kwargs)
    if name.endswith("_") and not name.endswith("__"):
        return _in_place(function, name[:-1], args, kwargs)
    value = function(*args, **kwargs)
    if not isinstance(value, Tensor | tuple | list):
        return value
    return carrying(value, _smooth(function, name, args, kwargs, value))


def cast(value: Any, x: Tensor) -> Any:
    """Return a converted tensor with the gradient of the tensor that it was made from."""
    if not isinstance(value, Tensor):
        return value
    smooth = smooth_of(x)
    kind = value.dtype if value.is_floating_point() else smooth.dtype
    return carrying(value, smooth.to(value.device, kind))


def _smooth(function: Callable[..., Any], name: str, args: Any, kwargs: Any, value: Any) -> Any:
    """Return the stand-in of a result; None if there is none."""
    if name == "where" and len(args) == 3:
        share, one, other = map(smooth_of, args)
        return other + share * (one - other)
    if name == "masked_fill":
        x, share, fill = map(smooth_of, args)
        return x + share * (fill - x)
    truths = all(each.dtype == torch.bool for each in args if isinstance(each, Tensor))
    special = (LOGIC if truths else BITS).get(name)
    try:
        if special is not None:
            return special(*map(smooth_of, args))
        kept = {key: each for key, each in kwargs.items() if key != "dtype"}
        return function(*tree_map(smooth_of, args), **tree_map(smooth_of, kept))
    except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError):  # the function takes no floats
        return None


def _in_place(function: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
    """Change a tensor in place, and what it carries with it."""
    changed, outside = args[0], getattr(Tensor, name, None)
    made = None if outside is None else call(outside, name, (changed.clone(), *args[1:]), kwargs)
    if changed.is_floating_point():
        return changed.copy_(made) if isinstance(made, Tensor) else function(*args, **kwargs)
    found = None if outside is None else _smooth(outside, name, args, kwargs, changed)
    function(*args, **kwargs)
    drop(changed)
    if isinstance(found, Tensor) and found.shape == changed.shape and found.requires_grad:
        carry(changed, found)
    return changed


def _assign(changed: Tensor, place: Any, given: Any) -> None:
    """Assign to a part of a tensor, and to the same part of what it carries."""
    if changed.is_floating_point():
        changed[place] = smooth_of(given)
        return
    found = carried(changed)
    smooth = changed.float() if found is None else found.smooth.clone()
    changed[place] = given
    smooth[place] = smooth_of(given)
    drop(changed)
    if smooth.requires_grad:
        carry(changed, smooth)
