"""Published corrupted versions of a test set (Hendrycks and Dietterich, ICLR 2019): what all have in common."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from robench.errors import InputError
from robench.specs.corruption import SEVERITIES, corruptions, extra_corruptions, find_corruption

if TYPE_CHECKING:
    from robench.data.split import Split

CORRUPTIONS = tuple(corruptions())
"""Those that the tables average, in the paper's order."""

EXTRA = tuple(extra_corruptions())
"""Meant for validation; part of no average."""

KNOWN = (*CORRUPTIONS, *EXTRA)
NAMED = 3
"""How many missing things a message names."""


class DatasetNotFound(InputError):
    """There is no such set, not even a damaged one."""


class CorruptedSet(Protocol):
    """A test set, corrupted and published by others.

    Attributes:
        name: as on the command line.
        corruptions: the names found, in the paper's order, extra ones last.
    """

    name: str
    corruptions: list[str]

    def load(self, corruption: str, severity: int, limit: int | None = None) -> "Split":
        """One corruption at one severity, checked; ids are those of the clean test images.

        Raises:
            InputError: it is not there or damaged.
        """

    def fingerprint(self, corruption: str, limit: int | None = None) -> str:
        """Tells other files of a corruption apart, of which the first `limit` images are read.

        Raises:
            InputError: something that is there is damaged.
        """

    def describe(self) -> str:
        """What is there, without looking at pixels.

        Raises:
            InputError: something that is there is damaged.
        """


def in_order(found: Iterable[str]) -> list[str]:
    """The known corruptions among some names, in the paper's order."""
    names = set(found)
    return [name for name in KNOWN if name in names]


def require(where: Path, found: list[str], corruption: str, severity: int, limit: int | None) -> None:
    """Refuse what cannot be loaded.

    Args:
        where: the folder or archive, named in the message.
        found: the corruptions there.
        corruption: the one asked for.
        severity: its severity.
        limit: how many images.

    Raises:
        InputError: unknown or missing corruption, unknown severity, a limit below 1.
    """
    find_corruption(corruption)
    if severity not in SEVERITIES:
        raise InputError(f"severity {severity} of '{corruption}' is unknown: name one of 1, 2, 3, 4, 5.")
    if corruption not in found:
        raise InputError(f"'{where}' has no corruption '{corruption}', only {', '.join(found)}: add what is missing.")
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} must be at least 1.")


def summary(where: Path, found: list[str], images: str) -> str:
    """One line of `robench doctor`; `images` says how many there are."""
    base, extra = ([name for name in names if name in found] for names in (CORRUPTIONS, EXTRA))
    missing = [name for name in CORRUPTIONS if name not in found]
    return (
        f"{len(base)} of {len(CORRUPTIONS)} corruptions and {len(extra)} of {len(EXTRA)} extra ones at "
        f"{len(SEVERITIES)} severities, "
        f"{images}, in '{where}'" + (f"; missing: {', '.join(missing)}" if missing else "")
    )


def named(things: list[str]) -> str:
    """The first few of a list, and how many more there are."""
    more = len(things) - NAMED
    return ", ".join(things[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
