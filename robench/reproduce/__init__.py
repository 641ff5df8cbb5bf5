"""Reproductions of the paper's tables and figures: measured here, shown beside the published numbers."""

from robench.errors import unknown
from robench.reproduce.reproductions import REPRODUCTIONS, Reproduction
from robench.reproduce.run import ReproductionRun


def find_reproduction(name: str) -> Reproduction:
    """Return a reproduction by name.

    Raises:
        InputError: no such table or figure.
    """
    if name not in REPRODUCTIONS:
        raise unknown("table or figure", name, list(REPRODUCTIONS))
    return REPRODUCTIONS[name]


__all__ = ["REPRODUCTIONS", "Reproduction", "ReproductionRun", "find_reproduction"]
