"""A table of text cells, and how it is written: terminal, Markdown, CSV, LaTeX, HTML."""

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tabulate import tabulate

if TYPE_CHECKING:
    from rich.table import Table as RichTable

MISSING = "-"
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
    """

    title: str
    corner: str
    columns: list[str]
    notes: list[str] = field(default_factory=list)
    rows: dict[str, Mapping[str, str]] = field(default_factory=dict)

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
            Table(self.title if place == 0 else "", self.corner, columns, self.notes, self.rows)
            for place, columns in enumerate(pieces)
        ]

    def grid(self, missing: str = MISSING) -> list[list[str]]:
        """The header row and all rows, as text."""
        head = [self.corner, *self.columns]
        return [
            head,
            *([name, *(cells.get(c, missing) for c in self.columns)] for name, cells in self.rows.items()),
        ]


def p_text(value: float) -> str:
    """A p value."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def markdown(table: Table) -> str:
    """A GitHub-flavoured pipe table."""
    head, *body = table.grid()
    notes = "".join(f"\n{note}\n" for note in table.notes)
    return f"### {table.title}\n\n{tabulate(body, head, tablefmt='github', disable_numparse=True)}\n{notes}"


def csv_text(table: Table) -> str:
    """Comma-separated values; an estimate fills three columns, and the notes stay out."""
    stream = io.StringIO()
    grid = table.grid(missing="")
    for place in range(len(grid[0]) - 1, 0, -1):
        if any(isinstance(row[place], Estimate) for row in grid):
            name = grid[0][place]
            grid[0][place : place + 1] = [name, f"{name} low", f"{name} high"]
            for row in grid[1:]:
                cell = row[place]
                row[place : place + 1] = (
                    [cell.value, cell.low, cell.high] if isinstance(cell, Estimate) else [cell, "", ""]
                )
    csv.writer(stream, lineterminator="\n").writerows(grid)
    return stream.getvalue()


def latex(table: Table) -> str:
    """A tabular for the booktabs package."""
    head, *body = table.grid(missing="--")
    notes = "".join(f"% {note}\n" for note in [table.title, *table.notes])
    return f"{notes}{tabulate(body, head, tablefmt='latex_booktabs', disable_numparse=True)}\n"


def html(table: Table) -> str:
    """A table element with its caption and notes."""
    head, *body = table.grid()
    element = tabulate(body, head, tablefmt="html", disable_numparse=True)
    notes = "".join(f"<p>{_escape(note)}</p>\n" for note in table.notes)
    return str(element).replace("<table>", f"<table>\n<caption>{_escape(table.title)}</caption>", 1) + f"\n{notes}"


FORMATS: dict[str, Callable[[Table], str]] = {"md": markdown, "csv": csv_text, "latex": latex, "html": html}


def plain(table: Table) -> str:
    """Aligned text without boxes, for pipes and files."""
    head, *body = table.grid()
    notes = "".join(f"{note}\n" for note in table.notes)
    return f"{table.title}\n\n{tabulate(body, head, tablefmt='simple', disable_numparse=True)}\n\n{notes}"


def terminal(table: Table, *, wrap: bool = False) -> "RichTable":
    """For a rich console; `wrap` breaks long cells and aligns everything left, for prose."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table as RichTable

    rich_table = RichTable(title=table.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    rich_table.show_edge = rich_table.pad_edge = False
    rich_table.collapse_padding = True
    head, *body = table.grid()
    for place, name in enumerate(head):
        rich_table.add_column(
            escape(name), justify="left" if wrap or place == 0 else "right", no_wrap=place == 0 or not wrap
        )
    for row in body:
        rich_table.add_row(*(escape(cell) for cell in row))
    return rich_table


def _escape(text: str) -> str:
    from html import escape

    return escape(text)
