"""Views of numbers: without additions, with their intervals, or beside the published numbers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from robench.report.table import Estimate, Table
from robench.store import Record

PAPER = "(paper)"
THEIRS, DIFFERENCE = f"{{}} {PAPER}", "{} (difference)"
KNOWN = ("seed", "epochs", "training s")
"""Columns whose cells need no verdicts."""
Cells = dict[str, str]
Value = float | Record
"""A percentage, or a record, which also has an interval."""


@dataclass(frozen=True)
class View:
    """The additions to the cells of a table.

    Attributes:
        against: show the published value beside each cell.
        intervals: show Wilson's 95% intervals.
        differences: show ours minus the published value beside the published value.
    """

    against: bool = False
    intervals: bool = False
    differences: bool = True

    def columns(self, names: Iterable[str], paper: Iterable[Mapping[str, str]] = ()) -> list[str]:
        """Return the names of our columns, each followed by those of the paper's value and the difference, if shown."""
        known = {name for row in paper for name, value in row.items() if value} if self.against else set()
        beside = (THEIRS, DIFFERENCE) if self.differences else (THEIRS,)
        return [column for name in names for column in (name, *(each.format(name) for each in beside if name in known))]

    def cells(self, values: Mapping[str, Value], paper: Mapping[str, str] | None = None) -> Cells:
        """Return the cells of a row: our values and, if the view shows them, published values and differences."""
        row = {name: self.cell(value) for name, value in values.items()}
        for name, theirs in (paper or {}).items():
            if self.against and theirs:
                row[THEIRS.format(name)] = theirs
                if self.differences and name in values:
                    row[DIFFERENCE.format(name)] = f"{accuracy(values[name]) - float(theirs):+.2f}"
        return row

    def cell(self, value: Value) -> str:
        """Return a percentage as a cell, with its interval if the view shows intervals and the interval is known."""
        if self.intervals and isinstance(value, Record):
            return Estimate(value.robust_accuracy, value.interval)
        return f"{accuracy(value):.2f}"


def accuracy(value: Value) -> float:
    """Return the accuracy of a value in percent."""
    return value.robust_accuracy if isinstance(value, Record) else value


def has_ours(table: Table) -> bool:
    """Return whether a cell of a table was measured here."""
    return any(PAPER not in column and column not in KNOWN for row in table.rows.values() for column in row)
