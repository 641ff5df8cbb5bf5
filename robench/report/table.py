"""A table of text cells."""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

MISSING = "-"
NOTHING = float("nan")
"""Equal to no number."""
GAP = 2
"""Blanks between columns on a screen."""


class Estimate(str):
    """A cell with an interval: one text for people, three numbers for programs.

    Attributes:
        value, low, high: as text, the interval's ends with as many digits as the value.
    """

    value: str
    low: str
    high: str

    def __new__(cls, value: float, interval: tuple[float, float]) -> "Estimate":
        """`73.89 [70.0, 77.4]`."""
        low, high = interval
        cell = super().__new__(cls, f"{value:.2f} [{low:.1f}, {high:.1f}]")
        cell.value, cell.low, cell.high = f"{value:.2f}", f"{low:.2f}", f"{high:.2f}"
        return cell


@dataclass
class Table:
    """Rows with a name, columns with a name, text between.

    Attributes:
        title: above the table.
        corner: what the rows are.
        columns: their names, in order.
        notes: sentences below the table.
        rows: cells by column, of each row by name; what a row has no cell for is empty.
        graded: the columns in which the largest number is the best, and is marked.
    """

    title: str
    corner: str
    columns: list[str]
    notes: list[str] = field(default_factory=list)
    rows: dict[str, Mapping[str, str]] = field(default_factory=dict)
    graded: Sequence[str] = ()

    def add(self, name: str, cells: Mapping[str, str]) -> None:
        """Append a row; columns it has no cell for stay empty."""
        self.rows[name] = cells

    def transposed(self) -> "Table":
        """Rows as columns: for many columns and few rows on a narrow screen."""
        turned = Table(self.title, "", list(self.rows), self.notes)
        for column in self.columns:
            turned.add(column, {name: cells[column] for name, cells in self.rows.items() if column in cells})
        return turned

    def blocks(self, width: int) -> "list[Table]":
        """The table cut between columns into pieces that fit a screen; each repeats the rows' names."""
        grid = self.grid()
        widths = [max(len(row[place]) for row in grid) + GAP for place in range(len(grid[0]))]
        pieces: list[list[str]] = [[]]
        used = widths[0]
        for column, needed in zip(self.columns, widths[1:], strict=True):
            if pieces[-1] and used + needed > width + GAP:
                pieces.append([])
                used = widths[0]
            pieces[-1].append(column)
            used += needed
        return [
            replace(self, title=self.title if place == 0 else "", columns=columns)
            for place, columns in enumerate(pieces)
        ]

    def grid(self, missing: str = MISSING, mark: Callable[[str], str] | None = None) -> list[list[str]]:
        """The header row and all rows, as text; the best of graded columns as `mark` makes them."""
        best = {column: self._best(column) for column in self.graded} if mark else {}
        head = [self.corner, *self.columns]
        body = []
        for name, cells in self.rows.items():
            row = [cells.get(column, missing) for column in self.columns]
            marked = [
                mark(cell) if mark and column in cells and best.get(column, NOTHING) == number(cell) else cell
                for column, cell in zip(self.columns, row, strict=True)
            ]
            body.append([name, *marked])
        return [head, *body]

    def to_frame(self) -> "pd.DataFrame":
        """As CSV would be read (pandas): numbers as numbers, an estimate as three columns, a row a row by name."""
        import pandas as pd

        from robench.report.formats import csv_text

        return pd.read_csv(io.StringIO(csv_text(self)), index_col=0)

    def __str__(self) -> str:
        """Aligned text."""
        from robench.report.formats import plain

        return plain(self)

    def _repr_html_(self) -> str:
        """For notebooks."""
        from robench.report.formats import html

        return html(self)

    def _best(self, column: str) -> float | None:
        """The largest of at least two numbers; nothing is best where all are equal."""
        numbers = {number(cells[column]) for cells in self.rows.values() if column in cells} - {None}
        return max(numbers) if len(numbers) > 1 else NOTHING  # type: ignore[type-var]


def number(cell: str) -> float | None:
    """What a cell begins with, if that is a number."""
    try:
        return float(cell.value if isinstance(cell, Estimate) else cell.split(" ", 1)[0].rstrip("*"))
    except ValueError:
        return None


def p_text(value: float) -> str:
    """A p value."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"
