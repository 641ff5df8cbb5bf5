"""A network that runs with the gradients of a shipped kind; its code is not changed."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from robench.classifiers.backward import GRADIENTS
from robench.classifiers.backward.carried import carried, carrying, has_gradient, smooth_of
from robench.classifiers.backward.codecs import Travellers
from robench.classifiers.backward.dual import CASTS, call, cast, name_of

NUMBERS = {"item", "tolist", "__float__", "__int__", "__bool__", "__index__", "__len__", "__repr__"}
"""Functions whose result is no tensor."""
UNCHANGED = CASTS | NUMBERS | {"detach", "contiguous", "cpu", "cuda"}
"""Functions that change nothing, as far as a gradient is concerned."""
LEAVING = {"numpy", "__array__", "encode_jpeg", "encode_png"}
"""Functions through which an image leaves torch."""
NAMED = ("input", "other", "boundaries")
"""Names of the first arguments of functions, in their order."""
ARRIVING = {"tensor", "as_tensor", "asarray", "decode_jpeg", "decode_png", "decode_image"}
"""Functions through which an image comes back."""


class WithGradients(nn.Module):
    """Run a network whose rounding, thresholds or codecs get a gradient; all values stay what they are.

    `no_grad`, `inference_mode` and `detach` inside the network have no effect, because the gradient of what the network
    computes is wanted.

    Args:
        network: maps images to logits.
        name: name of a shipped gradient.
    """

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network, self.name, self.training = network, name, False  # no mode of its own

    def forward(self, x: Tensor) -> Any:
        """Return the network's answer."""
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self.network(x)
        mode = _Mode(self.name)
        with patch.object(torch, "from_numpy", mode.from_numpy), mode:
            return self.network(x)


class _Mode(TorchFunctionMode):
    """Run every function of torch with its stand-in."""

    def __init__(self, name: str) -> None:
        super().__init__()
        gradients = GRADIENTS.find(name)
        self.rules = gradients.rules
        self.travellers = Travellers() if gradients.codecs else None
        self.to_tensor = torch.from_numpy

    def from_numpy(self, array: Any) -> Any:
        """Make a tensor of an array; an image that comes back keeps its gradient."""
        return self._arrived(self.to_tensor(array))

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, name_of(function)
        if name == "__get__" or not has_gradient((args, kwargs)):
            value = function(*args, **kwargs)
            return self._arrived(value) if name in ARRIVING and _foreign(args) else value
        with torch.inference_mode(False), torch.enable_grad():
            return self._followed(function, name, args, kwargs)

    def _followed(self, function: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
        """Call a function some of whose arguments have a gradient or carry one."""
        named = [key for key in NAMED if key in kwargs]
        args, kwargs = (*args, *(kwargs[key] for key in named)), {k: v for k, v in kwargs.items() if k not in named}
        x: Any = args[0] if args else None
        if isinstance(x, Tensor) and name in LEAVING:
            return self._leaving(function, args, kwargs)
        if isinstance(x, Tensor) and name in UNCHANGED:
            return _unchanged(function, name, args, kwargs)
        outside = name.removesuffix("_")
        if name != outside in self.rules and isinstance(x, Tensor) and x.is_floating_point():
            return x.copy_(self._followed(getattr(Tensor, outside), outside, (x.clone(), *args[1:]), kwargs))
        return self._by_rule(function, name, args, kwargs)

    def _by_rule(self, function: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
        rule = self.rules.get(name)
        if rule is not None:
            value = function(*args, **kwargs)
            smooth = rule(value, *args, **kwargs)
            if smooth is not None:
                return carrying(value.detach(), smooth) if smooth is not value else value
        integer = any(carried(each) is not None for each in tree_leaves((args, kwargs)))
        return call(function, name, args, kwargs) if integer else function(*args, **kwargs)

    def _leaving(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Let an image leave torch, and remember its gradient."""
        image = args[0]
        if self.travellers is not None:
            self.travellers.leave(smooth_of(image))
        return function(image.detach(), *args[1:], **kwargs)

    def _arrived(self, value: Any) -> Any:
        if self.travellers is None or not isinstance(value, Tensor):
            return value
        with torch.inference_mode(False), torch.enable_grad():
            smooth = self.travellers.arrive(value)
            return value if smooth is None else carrying(value, smooth)


def _unchanged(function: Callable[..., Any], name: str, args: Any, kwargs: Any) -> Any:
    """Call a function that gives a tensor in another type or place, or its numbers; the gradient goes through it."""
    x = args[0]
    if name == "detach":
        return x.view_as(x) if carried(x) is None else x
    value = function(x.detach(), *args[1:], **kwargs)
    return value if name in NUMBERS else cast(value, x)


def _foreign(args: Any) -> bool:
    """Return whether a function gets an array or encoded bytes."""
    return bool(args) and (isinstance(args[0], np.ndarray) or (isinstance(args[0], Tensor) and args[0].dim() == 1))
