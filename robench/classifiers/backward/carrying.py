"""A network that runs with the gradients of a shipped kind; its code is not changed."""

from collections.abc import Callable
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from robench.classifiers.backward import GRADIENTS
from robench.classifiers.backward.carried import carried, carrying, has_gradient, smooth_of
from robench.classifiers.backward.codecs import Travellers
from robench.classifiers.backward.dual import CASTS, call, cast, name_of

SAME = {"detach", "contiguous", "cpu", "cuda"}
"""Functions that give the tensor itself, as far as a gradient is concerned."""
LEAVING = {"numpy", "__array__", "encode_jpeg", "encode_png"}
"""Functions through which an image leaves torch."""
NUMBERS = {"item", "tolist", "__float__", "__int__", "__bool__", "__index__", "__len__", "__repr__"}
"""Functions whose result is no tensor."""
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
        x = args[0] if args else None
        if name in LEAVING:
            return self._leaving(function, args, kwargs)
        if name in NUMBERS:
            return function(x.detach(), *args[1:], **kwargs)
        if name == "detach":
            return x.view_as(x) if carried(x) is None else x
        if name in CASTS | SAME and isinstance(x, Tensor):
            value = function(x.detach(), *args[1:], **kwargs)
            return cast(value, x)
        if name.endswith("_") and (outside := name[:-1]) in self.rules and isinstance(x, Tensor) and x.is_floating_point():
            return x.copy_(self._followed(getattr(Tensor, outside), outside, (x.clone(), *args[1:]), kwargs))
        rule = self.rules.get(name)
        if rule is None:
            integer = any(carried(each) is not None for each in _flat(args, kwargs))
            return call(function, name, args, kwargs) if integer else function(*args, **kwargs)
        value = function(*args, **kwargs)
        if not isinstance(value, Tensor):
            return value
        smooth = rule(value, *args, **kwargs)
        if smooth is None:
            return call(function, name, args, kwargs)
        return value if smooth is value else carrying(value.detach(), smooth)

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


def _foreign(args: Any) -> bool:
    """Return whether a function gets an array or encoded bytes."""
    return bool(args) and (isinstance(args[0], np.ndarray) or (isinstance(args[0], Tensor) and args[0].dim() == 1))


def _flat(*structures: Any) -> list[Any]:
    return torch.utils._pytree.tree_leaves(structures)
