"""The paper's tables and figures, measured here and set beside the published numbers."""

from robench.errors import unknown
from robench.reproduce.targets import TARGETS, Target
from robench.reproduce.workshop import Workshop


def find_target(name: str) -> Target:
    """A reproduction by name.

    Raises:
        InputError: no such table or figure.
    """
    if name not in TARGETS:
        raise unknown("table or figure", name, list(TARGETS))
    return TARGETS[name]


__all__ = ["TARGETS", "Target", "Workshop", "find_target"]
