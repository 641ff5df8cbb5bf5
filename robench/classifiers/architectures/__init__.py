"""Backbones. The architecture `wide_resnet` is `BACKBONE` in `wide_resnet.py`; to add one, add a file."""

from collections.abc import Callable
from typing import Any

from robench.registry import Registry

__all__ = ["architecture", "list_architectures"]

REGISTRY: Registry[Callable[..., Any]] = Registry("architecture", __name__, "BACKBONE")


def list_architectures() -> list[str]:
    """Return the names of all architectures."""
    return REGISTRY.names()


def architecture(name: str) -> Callable[..., Any]:
    """Find a backbone by name: called with `shape=(C, H, W)` and a card's arguments, it returns a module.

    The module maps images (N, C, H, W) to penultimate features (N, D) and has D as its attribute `features`.
    Normalisation and head are not part of the module.

    Raises:
        InputError: no such architecture.
    """
    return REGISTRY.find(name)
