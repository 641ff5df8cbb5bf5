"""How attacks work. The algorithm `pgd` is `ALGORITHM` in `pgd.py`; adding one is adding a file."""

import pkgutil
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from robench.algorithms.base import Algorithm, ObjectiveName, ReferenceExamples, State, Task, take
from robench.errors import InputError, unknown
from robench.specs import AttackSpec

__all__ = [
    "Algorithm",
    "ObjectiveName",
    "ReferenceExamples",
    "State",
    "Task",
    "algorithm_class",
    "bind",
    "list_algorithms",
    "take",
]


SHARED = ("base", "gradient")
"""Modules that several algorithms share; every other one holds an algorithm."""


def list_algorithms() -> list[str]:
    """The names of all algorithms."""
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name not in SHARED]


def algorithm_class(name: str) -> type[Algorithm[Any]]:
    """An algorithm by name.

    Raises:
        InputError: no such algorithm.
    """
    if name not in list_algorithms():
        raise unknown("algorithm", name, list_algorithms())
    found: type[Algorithm[Any]] = import_module(f"{__name__}.{name}").ALGORITHM
    return found


def bind(spec: AttackSpec) -> Algorithm[Any]:
    """The algorithm of a stanza with the stanza's parameters.

    Raises:
        InputError: a parameter is missing, unknown or of the wrong kind, or the access differs.
    """
    try:
        kind = algorithm_class(spec.algorithm)
    except InputError as error:
        raise InputError(f"{spec.where}, key 'algorithm': {error}") from None
    if spec.access != kind.access:
        raise InputError(f"{spec.where}, key 'access': algorithm '{spec.algorithm}' needs '{kind.access}'.")
    try:
        return kind(**spec.params)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{spec.where}, key 'params.{key}': {first['msg'].lower()}.") from error
