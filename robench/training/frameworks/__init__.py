"""Training frameworks. `pgd_at` is `FRAMEWORK` in `pgd_at.py`; to add one, add a file."""

from typing import Any

from pydantic import ValidationError

from robench.errors import InputError
from robench.registry import Registry
from robench.training.frameworks.base import Framework

REGISTRY: Registry[type[Framework]] = Registry("framework", __name__, "FRAMEWORK")


def list_frameworks() -> list[str]:
    """Return the names of all frameworks."""
    return REGISTRY.names()


def make_framework(name: str, args: dict[str, Any] | None = None) -> Framework:
    """Make a framework by name, with its arguments.

    Raises:
        InputError: unknown framework or argument, or an unsuitable value.
    """
    kind = REGISTRY.find(name)
    try:
        return kind(**(args or {}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"recipe, key 'args.{key}': {first['msg'].lower()}.") from error
