"""robench: robustness evaluation of trained defenses, every counted example re-judged.

Importing this package is cheap: torch is loaded by the first call that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robench.api import Service, evaluate, list_attacks, list_models, load_model

__all__ = ["Service", "evaluate", "list_attacks", "list_models", "load_model"]

_HOME = {
    "Service": "robench.service",
    "evaluate": "robench.api",
    "list_attacks": "robench.specs",
    "list_models": "robench.specs",
    "load_model": "robench.classifiers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'robench' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
