"""How weights are made. The framework `pgd_at` is `FRAMEWORK` in `pgd_at.py`; adding one is adding a file."""

import pkgutil
from importlib import import_module
from typing import Any

from pydantic import ValidationError

from robench.errors import InputError, unknown
from robench.training.frameworks.base import Framework


def list_frameworks() -> list[str]:
    """The names of all frameworks."""
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name != "base"]


def make_framework(name: str, args: dict[str, Any] | None = None) -> Framework:
    """A framework by name, with its arguments.

    Raises:
        InputError: no such framework, or an argument it does not take.
    """
    if name not in list_frameworks():
        raise unknown("framework", name, list_frameworks())
    kind: type[Framework] = import_module(f"{__name__}.{name}").FRAMEWORK
    try:
        return kind(**(args or {}))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"recipe, key 'args.{key}': {first['msg'].lower()}.") from error
