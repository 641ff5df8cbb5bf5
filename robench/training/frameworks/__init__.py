"""How weights are made. The framework `pgd_at` is `FRAMEWORK` in `pgd_at.py`; adding one is adding a file."""

import pkgutil
from importlib import import_module

from robench.errors import unknown
from robench.training.frameworks.base import Framework


def list_frameworks() -> list[str]:
    """The names of all frameworks."""
    return [module.name for module in pkgutil.iter_modules(__path__) if module.name != "base"]


def make_framework(name: str) -> Framework:
    """A framework by name.

    Raises:
        InputError: no such framework.
    """
    if name not in list_frameworks():
        raise unknown("framework", name, list_frameworks())
    kind: type[Framework] = import_module(f"{__name__}.{name}").FRAMEWORK
    return kind()
