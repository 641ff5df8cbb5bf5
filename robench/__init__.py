"""robench: robustness evaluation of trained defenses, every counted example re-judged.

Importing this package is cheap: torch is loaded by the first call that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from robench.api import Service, evaluate, evaluate_corruptions, list_attacks, list_models, load_model
    from robench.report.by_name import table
    from robench.report.leaderboard import leaderboard

__all__ = [
    "Service",
    "evaluate",
    "evaluate_corruptions",
    "leaderboard",
    "list_attacks",
    "list_models",
    "load_model",
    "table",
]

_HOME = {
    "Service": "robench.classifiers.service",
    "evaluate": "robench.api",
    "evaluate_corruptions": "robench.api",
    "leaderboard": "robench.report.leaderboard",
    "list_attacks": "robench.specs",
    "list_models": "robench.specs",
    "load_model": "robench.classifiers",
    "table": "robench.report.by_name",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'robench' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
