"""robench: evaluate the robustness of trained defenses; every counted example is judged again.

The import is cheap: torch is loaded by the first call that needs it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from importlib.metadata import version

    from robench.algorithms.base import Algorithm as Algorithm
    from robench.api import evaluate as evaluate
    from robench.api import evaluate_corruptions as evaluate_corruptions
    from robench.api import verify as verify
    from robench.classifiers.backward.straight_through import straight_through as straight_through
    from robench.classifiers.service import Service as Service
    from robench.classifiers.sources.card import load_model as load_model
    from robench.errors import InputError as InputError
    from robench.report.by_name import table as table
    from robench.report.evaluation import Evaluation as Evaluation
    from robench.report.leaderboard import leaderboard as leaderboard
    from robench.report.table import Table as Table
    from robench.specs.attack import AttackSpec as AttackSpec
    from robench.specs.catalog import list_attacks as list_attacks
    from robench.specs.defenses import list_models as list_models
    from robench.specs.threat import ThreatModel as ThreatModel

    __version__: str = version("robench")

_HOME = {
    "Algorithm": "robench.algorithms.base",
    "AttackSpec": "robench.specs.attack",
    "Evaluation": "robench.report.evaluation",
    "InputError": "robench.errors",
    "Service": "robench.classifiers.service",
    "Table": "robench.report.table",
    "ThreatModel": "robench.specs.threat",
    "evaluate": "robench.api",
    "evaluate_corruptions": "robench.api",
    "leaderboard": "robench.report.leaderboard",
    "list_attacks": "robench.specs.catalog",
    "list_models": "robench.specs.defenses",
    "load_model": "robench.classifiers.sources.card",
    "straight_through": "robench.classifiers.backward.straight_through",
    "table": "robench.report.by_name",
    "verify": "robench.api",
}
"""Module of each public name; a module is imported when one of its names is first used."""

__all__ = [
    "Algorithm",
    "AttackSpec",
    "Evaluation",
    "InputError",
    "Service",
    "Table",
    "ThreatModel",
    "__version__",
    "evaluate",
    "evaluate_corruptions",
    "leaderboard",
    "list_attacks",
    "list_models",
    "load_model",
    "straight_through",
    "table",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("robench")
    if name not in _HOME:
        raise AttributeError(f"module 'robench' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
