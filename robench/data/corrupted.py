"""The interface of published corrupted test sets (Hendrycks and Dietterich, ICLR 2019; Kar et al., CVPR 2022)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from robench.errors import InputError, unknown
from robench.specs.corruption import SEVERITIES, corruptions, extra_corruptions
from robench.specs.corruption_3d import CORRUPTIONS_3D

if TYPE_CHECKING:
    from robench.data.split import Split

CORRUPTIONS = tuple(corruptions())
"""The corruptions that tables average over, in the paper's order."""

EXTRA = tuple(extra_corruptions())
"""The corruptions meant for validation; no average includes them."""

KNOWN = (*CORRUPTIONS, *EXTRA)
NAMED = 3
"""Number of missing things that a message names."""


@dataclass(frozen=True)
class Family:
    """The corruptions that sets of one kind have, in the order of their paper.

    Attributes:
        averaged: those that tables average over.
        extra: those in no average.
    """

    averaged: tuple[str, ...]
    extra: tuple[str, ...] = ()

    @property
    def known(self) -> tuple[str, ...]:
        """All names, extra ones last."""
        return (*self.averaged, *self.extra)

    def in_order(self, found: Iterable[str]) -> list[str]:
        """Return the known corruptions among some names, in the paper's order."""
        names = set(found)
        return [name for name in self.known if name in names]

    def missing(self, found: Iterable[str]) -> list[str]:
        """Return the corruptions of the average that are not among some names."""
        names = set(found)
        return [name for name in self.averaged if name not in names]


COMMON = Family(CORRUPTIONS, EXTRA)
"""The common corruptions of CIFAR-10-C, CIFAR-100-C, ImageNet-C and Tiny-ImageNet-C."""
IN_3D = Family(tuple(CORRUPTIONS_3D))
"""The 3D common corruptions of ImageNet-3DCC."""


class DatasetNotFound(InputError):
    """The dataset is not there, not even a damaged copy."""


class CorruptedSet(Protocol):
    """A corrupted test set that others have published.

    Attributes:
        name: as on the command line.
        corruptions: names of the corruptions found, in the paper's order, extra ones last.
        family: the corruptions that such a set has.
    """

    name: str
    corruptions: list[str]
    family: Family

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


def require(
    where: Path, found: list[str], corruption: str, severity: int, limit: int | None, family: Family = COMMON
) -> None:
    """Check that a corruption can be loaded.

    Args:
        where: folder or archive, for the message.
        found: the corruptions there.
        corruption: the requested corruption.
        severity: the requested severity.
        limit: number of images; None for all.
        family: the corruptions that the set has.

    Raises:
        InputError: unknown or missing corruption, unknown severity, a limit below 1.
    """
    if corruption not in family.known:
        raise unknown("corruption", corruption, list(family.known))
    if severity not in SEVERITIES:
        raise InputError(f"severity {severity} of '{corruption}' is unknown: name one of 1, 2, 3, 4, 5.")
    if corruption not in found:
        raise InputError(f"'{where}' has no corruption '{corruption}', only {', '.join(found)}: add what is missing.")
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} must be at least 1.")


def summary(where: Path, found: list[str], images: str, family: Family = COMMON) -> str:
    """Return one line for `robench doctor`; `images` says how many images there are."""
    base, extra = ([name for name in names if name in found] for names in (family.averaged, family.extra))
    others = f" and {len(extra)} of {len(family.extra)} extra ones" if family.extra else ""
    missing = family.missing(found)
    return (
        f"{len(base)} of {len(family.averaged)} corruptions{others} at {len(SEVERITIES)} severities, "
        f"{images}, in '{where}'" + (f"; missing: {', '.join(missing)}" if missing else "")
    )


def named(things: list[str]) -> str:
    """List the first few things, and the number of the others."""
    more = len(things) - NAMED
    return ", ".join(things[:NAMED]) + (f" and {more:,} more" if more > 0 else "")
