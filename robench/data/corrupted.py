"""The interface of published corrupted test sets (Hendrycks and Dietterich, ICLR 2019)."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from robench.errors import InputError
from robench.specs.corruption import SEVERITIES, corruptions, extra_corruptions, find_corruption

if TYPE_CHECKING:
    from robench.data.split import Split

CORRUPTIONS = tuple(corruptions())
"""The corruptions that tables average over, in the paper's order."""

EXTRA = tuple(extra_corruptions())
"""The corruptions meant for validation; no average includes them."""

KNOWN = (*CORRUPTIONS, *EXTRA)
NAMED = 3
"""Number of missing things that a message names."""


class DatasetNotFound(InputError):
    """The dataset is not there, not even a damaged copy."""


class CorruptedSet(Protocol):
    """A corrupted test set that others have published.

    Attributes:
        name: as on the command line.
        corruptions: names of the corruptions found, in the paper's order, extra ones last.
    """

    name: str
    corruptions: list[str]

    def load(
        self, corruption: str, severity: int, limit: int | None = None, ids: Sequence[int] | None = None
    ) -> "Split":
        """Load and check one corruption at one severity; ids are those of the clean test images.

        Args:
            corruption, severity: which images.
            limit: number of images from the beginning; None for all.
            ids: ids of the images to take, in ascending order, instead of `limit`.

        Raises:
            InputError: it is not there or damaged.
        """

    def fingerprint(self, corruption: str, limit: int | None = None, ids: Sequence[int] | None = None) -> str:
        """Return a text that tells two versions of a corruption's images apart, of those that `load` takes.

        Raises:
            InputError: something that is there is damaged.
        """

    def describe(self) -> str:
        """Describe in one line what is there; no pixel is read.

        Raises:
            InputError: something that is there is damaged.
        """


def in_order(found: Iterable[str]) -> list[str]:
    """Return the known corruptions among some names, in the paper's order."""
    names = set(found)
    return [name for name in KNOWN if name in names]


def require(where: Path, found: list[str], corruption: str, severity: int, limit: int | None) -> None:
    """Check that a corruption can be loaded.

    Args:
        where: folder or archive, for the message.
        found: the corruptions there.
        corruption: the requested corruption.
        severity: the requested severity.
        limit: number of images; None for all.

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
    """Return one line for `robench doctor`; `images` says how many images there are."""
    base, extra = ([name for name in names if name in found] for names in (CORRUPTIONS, EXTRA))
    missing = [name for name in CORRUPTIONS if name not in found]
    return (
        f"{len(base)} of {len(CORRUPTIONS)} corruptions and {len(extra)} of {len(EXTRA)} extra ones at "
        f"{len(SEVERITIES)} severities, "
        f"{images}, in '{where}'" + (f"; missing: {', '.join(missing)}" if missing else "")
    )


def named(things: list[str]) -> str:
    """List the first few things, and the number of the others."""
    more = len(things) - NAMED
    return ", ".join(things[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
