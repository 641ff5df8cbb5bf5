"""The gradient that a user gives to a network: a shipped one, or a function in a Python file (`--backward`)."""

import inspect
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from robench.classifiers.backward import GRADIENTS
from robench.classifiers.backward.carrying import WithGradients
from robench.classifiers.normalised import Normalised
from robench.classifiers.rejecting import Rejecting
from robench.classifiers.single_logit import SingleLogit
from robench.classifiers.sources.code_digest import code_digest
from robench.classifiers.sources.function import run_in_file
from robench.errors import InputError
from robench.specs.network import MARK

Given = str | Callable[[nn.Module], nn.Module]
"""Name of a shipped gradient, `file.py:function`, or a function from a network to a network."""
WANTED = "that takes the network and returns one with the same values and a gradient"
SHORT = 16
"""Number of hex digits of the digest of a function's code."""


@dataclass(frozen=True)
class Backward:
    """A network with the values of another and a gradient that attacks can follow (BPDA).

    Attributes:
        name: short name, for the names of records.
        identity: all that can change a verdict: a shipped name with its version, or a function with a digest of its
            code.
        network: the network whose gradient attacks follow.
        shipped: whether the gradient is a shipped one.
    """

    name: str
    identity: str
    network: nn.Module
    shipped: bool = False


def find_backward(given: Given, network: nn.Module) -> Backward:
    """Make the network whose gradient attacks follow; the network itself is not changed.

    A user's function gets a copy of the user's network, without a normalisation or other outputs that robench put
    around it; these are put around the result.

    Args:
        given: a shipped name, `file.py:function` or a function.
        network: the network as it is evaluated.

    Raises:
        InputError: there is no such gradient, or the function fails or gives no network.
    """
    name = f"--backward {given}" if isinstance(given, str) else "backward"
    copy = _copied(network, name)
    if isinstance(given, str) and MARK in given:
        return _of_file(given, name, copy)
    if isinstance(given, str):
        if given.endswith(".py"):
            raise InputError(f"{name} is a file: say which function gives the gradient, {given}:through.")
        version = GRADIENTS.find(given).version
        return Backward(given, f"{given} {version}", WithGradients(copy, given).eval(), shipped=True)
    if isinstance(given, nn.Module) or not callable(given):
        raise InputError(f"backward is a {type(given).__name__}: give a shipped name or a function {WANTED}.")
    label = getattr(given, "__name__", "")
    label = label if label.isidentifier() else "function"
    _require_other_name(label)
    try:
        made = _inside(copy, lambda inner: _called(given, inner, name))
    except InputError:
        raise
    except Exception as error:  # any error in the user's function
        raise InputError(f"backward: '{label}' fails ({type(error).__name__}: {error}): mend it.") from error
    return Backward(label, f"{label} {code_digest(given)[:SHORT]}", made.eval())


def _of_file(given: str, name: str, copy: nn.Module) -> Backward:
    stem, _, function = given.rpartition(MARK)
    _require_other_name(function)
    file = Path(f"{stem}.py")

    def call(maker: Any) -> object:
        chosen = _beside(copy, file.resolve()).get(function, maker)
        return _inside(copy, lambda inner: _called(chosen, inner, name))

    made = run_in_file(file, function, name, "_robench_backward_", call, WANTED)
    return Backward(function, f"{file.name}:{function} {made.sha256[:SHORT]}", made.network.eval())


def _require_other_name(name: str) -> None:
    if name in GRADIENTS.names():
        raise InputError(f"--backward: a function cannot be called '{name}', as a shipped gradient is: rename it.")


def _beside(network: nn.Module, file: Path) -> dict[str, Any]:
    """Return what a file defines, if a class of the network is from there: the function must see the same class.

    A file that runs again defines other classes of the same names.
    """
    for each in network.modules():
        defined: dict[str, Any] = getattr(type(each).forward, "__globals__", {})
        if defined.get("__file__") == str(file):
            return defined
    return {}


def _copied(network: nn.Module, name: str) -> nn.Module:
    try:
        return deepcopy(network)
    except Exception as error:  # a network may hold anything
        said = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".:")
        raise InputError(f"{name}: the network cannot be copied ({said}): let it hold what can be copied.") from error


def _inside(network: nn.Module, change: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """Change a network inside what robench put around it."""
    if isinstance(network, SingleLogit | Rejecting | Normalised):
        network.network = _inside(network.network, change)
        return network
    return change(network)


def _called(function: Any, network: nn.Module, name: str) -> nn.Module:
    if not callable(function):
        raise InputError(f"{name} is a {type(function).__name__}: name a function {WANTED}.")
    try:
        inspect.signature(function).bind(network)
    except TypeError:
        takes = ", ".join(inspect.signature(function).parameters) or "nothing"
        raise InputError(f"{name} takes {takes}, not the network alone: name a function {WANTED}.") from None
    made = function(network)
    if not isinstance(made, nn.Module):
        raise InputError(f"{name} gives a {type(made).__name__}, expected a torch.nn.Module: name a function {WANTED}.")
    return made
