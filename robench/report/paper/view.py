"""How numbers are shown: alone, with their intervals, or beside the published ones."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from robench.report.table import Estimate, Table
from robench.store import Record

PAPER = "(paper)"
THEIRS, DIFFERENCE = f"{{}} {PAPER}", "{} (difference)"
KNOWN = ("seed", "epochs", "training s")
"""Columns that need no verdict."""
Cells = dict[str, str]
Value = float | Record
"""A percentage, or a record with an interval besides."""


@dataclass(frozen=True)
class View:
    """What a table shows.

    Attributes:
        against: the published value, and the difference of ours from it, beside each cell.
        intervals: Wilson's 95% intervals.
    """

    against: bool = False
    intervals: bool = False

    def columns(self, names: Iterable[str], paper: Iterable[Mapping[str, str]] = ()) -> list[str]:
        """Ours, and beside each that the paper has, its value and the difference."""
        known = {name for row in paper for name, value in row.items() if value} if self.against else set()
        return [
            column
            for name in names
            for column in ([name, THEIRS.format(name), DIFFERENCE.format(name)] if name in known else [name])
        ]

    def cells(self, values: Mapping[str, Value], paper: Mapping[str, str] | None = None) -> Cells:
        """The cells of a row, in any order."""
        row = {name: self.cell(value) for name, value in values.items()}
        for name, theirs in (paper or {}).items():
            if self.against and theirs:
                row[THEIRS.format(name)] = theirs
                if name in values:
                    row[DIFFERENCE.format(name)] = f"{accuracy(values[name]) - float(theirs):+.2f}"
        return row

    def cell(self, value: Value) -> str:
        """A percentage, with its interval where that is asked for and known."""
        if self.intervals and isinstance(value, Record):
            return Estimate(value.robust_accuracy, value.interval)
        return f"{accuracy(value):.2f}"


def accuracy(value: Value) -> float:
    """In percent."""
    return value.robust_accuracy if isinstance(value, Record) else value


def has_ours(table: Table) -> bool:
    """Whether anything in a table was measured here."""
    return any(PAPER not in column and column not in KNOWN for row in table.rows.values() for column in row)
