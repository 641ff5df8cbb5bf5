"""Attack algorithms. The algorithm `pgd` is `ALGORITHM` in `pgd.py`; to add one, add a file."""

from typing import Any

from pydantic import ValidationError

from robench.algorithms.base import Algorithm, ObjectiveName, ReferenceExamples, State, Task, state_class, take
from robench.errors import InputError
from robench.registry import Registry
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
    "state_class",
    "take",
]

REGISTRY: Registry[type[Algorithm[Any]]] = Registry(
    "algorithm", __name__, "ALGORITHM", shared=("base", "detour", "gradient", "sparse_ascent", "targeting")
)


def list_algorithms() -> list[str]:
    """Return the names of all algorithms."""
    return REGISTRY.names()


def algorithm_class(name: str) -> type[Algorithm[Any]]:
    """Find an algorithm by name.

    Raises:
        InputError: no such algorithm, with the nearest names.
    """
    return REGISTRY.find(name)


def bind(spec: AttackSpec) -> Algorithm[Any]:
    """Make the algorithm of a stanza with the stanza's parameters.

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
