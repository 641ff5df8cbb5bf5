"""The verdicts of a defense before and now, paired by example: which cells fell, and whether that is chance.

A cell is one defense under one attack, under all attacks (worst case), or under none (clean).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2

import numpy as np

from robench.numerics.stats import holm, mcnemar, mcnemar_drop
from robench.report.robustness import CLEAN, WORST
from robench.store import Column, Record, percent, robust_to_all

REGRESSION, LOWER, SAME, HIGHER = "regression", "lower", "same", "higher"
"""The verdicts on a cell; only a regression fails the gate."""


@dataclass(frozen=True)
class Cell:
    """Paired verdicts on one set of examples.

    Attributes:
        model: the name of the defense.
        name: the name of the attack, or `worst case` or `clean`.
        n: the number of examples.
        before, after: accuracies in percent.
        lost: ids of the examples that were right before and are wrong now, int64 (L,).
        gained: ids of the examples that were wrong before and are right now, int64 (G,).
    """

    model: str
    name: str
    n: int
    before: float
    after: float
    lost: Column
    gained: Column

    @classmethod
    def of(cls, model: str, name: str, before: Column, after: Column, ids: Column) -> "Cell":
        """Build a cell from two columns of verdicts, bool (N,), on the examples with these ids, int64 (N,)."""
        return cls(model, name, len(ids), percent(before), percent(after), ids[before & ~after], ids[after & ~before])

    @property
    def difference(self) -> float:
        """The change of accuracy in points; negative if accuracy fell."""
        return 100.0 * (len(self.gained) - len(self.lost)) / self.n

    @property
    def p(self) -> float:
        """The p value of McNemar's exact test, two-sided."""
        return mcnemar(len(self.lost), len(self.gained))

    @property
    def p_drop(self) -> float:
        """The p value of McNemar's exact test against a drop, one-sided."""
        return mcnemar_drop(len(self.lost), len(self.gained))


@dataclass(frozen=True)
class CellResult:
    """A cell, its p value after Holm's correction over all cells, and the verdict on the cell."""

    cell: Cell
    p: float
    verdict: str


def compare(model: str, before: Sequence[Record], after: Sequence[Record], ids: Column | None = None) -> list[Cell]:
    """Return the cells of one defense: worst case (if there are several attacks), clean, and every attack.

    Args:
        model: the displayed name of the defense.
        before, after: records of the same attacks on the same examples, pair by pair.
        ids: the ids of the examples in their order, int64 (N,); by default their positions 0, 1, ...
    """
    old, new = _columns(before), _columns(after)
    numbers = np.arange(before[0].header.n) if ids is None else ids
    return [Cell.of(model, name, old[name], new[name], numbers) for name in old]


def rule(cells: Sequence[Cell], max_drop: float, alpha: float) -> list[CellResult]:
    """Judge all cells of a gate together.

    A regression is a drop of more than `max_drop` points whose one-sided p value, corrected by Holm over all
    cells, is at most `alpha`: `max_drop` says which drops matter, `alpha` which drops are not chance.
    """
    adjusted = holm([cell.p_drop for cell in cells])
    return [CellResult(cell, p, _verdict(cell, p, max_drop, alpha)) for cell, p in zip(cells, adjusted, strict=True)]


def detectable(cells: int, alpha: float) -> int:
    """Return how many examples one of `cells` cells must lose, if it gains none, for a significant drop."""
    return max(1, ceil(log2(cells / alpha)))


def _columns(records: Sequence[Record]) -> dict[str, Column]:
    attacks = {record.header.attack.name: record.robust for record in records}
    worst = {WORST: robust_to_all(records)} if len(attacks) > 1 else {}
    return {**worst, CLEAN: records[0].clean, **attacks}


def _verdict(cell: Cell, p: float, max_drop: float, alpha: float) -> str:
    drop = -cell.difference
    if drop > max_drop and p <= alpha:
        return REGRESSION
    return LOWER if drop > 0 else HIGHER if drop < 0 else SAME
