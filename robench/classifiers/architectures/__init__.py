"""Backbones. The architecture `wide_resnet` is `BACKBONE` in `wide_resnet.py`; adding one is adding a file."""

import pkgutil
from collections.abc import Callable
from importlib import import_module
from typing import Any

from robench.errors import unknown

__all__ = ["architecture", "list_architectures"]


def list_architectures() -> list[str]:
    """The names of all architectures."""
    return [module.name for module in pkgutil.iter_modules(__path__)]


def architecture(name: str) -> Callable[..., Any]:
    """A backbone by name: called with `shape=(C, H, W)` and a card's arguments, it gives a module.

    The module maps images (N, C, H, W) to penultimate features (N, D) and says D in its attribute `features`.
    Normalisation and head are not part of it.

    Raises:
        InputError: no such architecture.
    """
    if name not in list_architectures():
        raise unknown("architecture", name, list_architectures())
    found: Callable[..., Any] = import_module(f"{__name__}.{name}").BACKBONE
    return found
