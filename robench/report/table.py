"""A table of text cells, and its formats: terminal, Markdown, CSV, LaTeX, HTML."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING

from tabulate import LATEX_ESCAPE_RULES, tabulate

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table as RichTable

MISSING = "-"
NOTHING = float("nan")
"""A value that equals no number."""
GAP = 2
"""Number of blanks between columns on a screen."""
BULLET, ESCAPED = re.compile(r"^(?=[*+-] )"), r"\\"
"""The beginning of a note that Markdown would take for an item of a list, and its replacement."""
OPEN, CLOSE = "\ue000", "\ue001"
"""Placeholders for the marks of a best cell until all other characters are escaped."""

BOLD = r"\textbf{"
LATEX_ESCAPES: dict[str, str] = {**LATEX_ESCAPE_RULES, "±": r"$\pm$", "`": r"\textasciigrave{}"}
LATEX_TABLE = r"""\begin{{table}}
\caption{{{title}}}
\centering
\resizebox{{\ifdim\width>\linewidth\linewidth\else\width\fi}}{{!}}{{%
{tabular}}}

\smallskip\footnotesize {notes}
\end{{table}}
\clearpage
"""
LATEX_DOCUMENT = r"""\documentclass{{article}}
\usepackage[utf8]{{inputenc}}
\usepackage[margin=2cm]{{geometry}}
\usepackage{{booktabs,graphicx,textcomp}}
\begin{{document}}
{body}\end{{document}}
"""


class Estimate(str):
    """A cell with an interval: one text for people, three numbers for programs.

    Attributes:
        value, low, high: the value and the ends of its interval as text, with two decimals each.
    """

    value: str
    low: str
    high: str

    def __new__(cls, value: float, interval: tuple[float, float]) -> "Estimate":
        """Make a cell like `73.89 [70.0, 77.4]`."""
        low, high = interval
        cell = super().__new__(cls, f"{value:.2f} [{low:.1f}, {high:.1f}]")
        cell.value, cell.low, cell.high = f"{value:.2f}", f"{low:.2f}", f"{high:.2f}"
        return cell


@dataclass
class Table:
    """Named rows and named columns with text cells.

    Attributes:
        title: the title above the table.
        corner: the header of the column of row names.
        columns: the names of the columns, in order.
        notes: sentences below the table.
        rows: the cells of each row, by row name and column; a row need not have a cell for every column.
        graded: the columns in which the largest number is the best and is marked.
    """

    title: str
    corner: str
    columns: list[str]
    notes: list[str] = field(default_factory=list)
    rows: dict[str, Mapping[str, str]] = field(default_factory=dict)
    graded: Sequence[str] = ()

    def add(self, name: str, cells: Mapping[str, str]) -> None:
        """Append a row; columns without a cell stay empty."""
        self.rows[name] = cells

    def transposed(self) -> "Table":
        """Return the table with rows as columns, for many columns and few rows on a narrow screen."""
        turned = Table(self.title, "", list(self.rows), self.notes)
        for column in self.columns:
            turned.add(column, {name: cells[column] for name, cells in self.rows.items() if column in cells})
        return turned

    def blocks(self, width: int) -> "list[Table]":
        """Cut the table between columns into pieces that fit `width` characters; each repeats the names of the rows."""
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
        """Return the header row and all rows as text; `mark` is applied to the best cells of graded columns."""
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
        """Return a pandas data frame: numbers as numbers, an estimate as three columns, row names as index."""
        import pandas as pd

        return pd.read_csv(io.StringIO(csv_text(self)), index_col=0)

    def __str__(self) -> str:
        """Return the table as aligned text."""
        return plain(self)

    def _repr_html_(self) -> str:
        """Return the table as HTML for notebooks."""
        return html(self)

    def _best(self, column: str) -> float | None:
        """Return the largest number of a column; if all numbers are equal, return `NOTHING`."""
        numbers = {number(cells[column]) for cells in self.rows.values() if column in cells} - {None}
        return max(numbers) if len(numbers) > 1 else NOTHING  # type: ignore[type-var]


def number(cell: str) -> float | None:
    """Return the number at the beginning of a cell, or None."""
    try:
        return float(cell.value if isinstance(cell, Estimate) else cell.split(" ", 1)[0].rstrip("*"))
    except ValueError:
        return None


def p_text(value: float) -> str:
    """Return a p value as text."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def markdown(table: Table) -> str:
    """Return a table as a pipe table of GitHub-flavoured Markdown."""
    head, *body = [[_literal(cell) for cell in row] for row in table.grid(mark=_marked)]
    notes = "".join(f"\n{BULLET.sub(ESCAPED, note)}\n" for note in table.notes)
    return f"### {table.title}\n\n{tabulate(body, head, tablefmt='github', disable_numparse=True)}\n{notes}"


def csv_text(table: Table) -> str:
    """Return a table as comma-separated values, without notes; an estimate fills three columns."""
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
    """Return a table as a tabular for the booktabs package, with the best cells in bold."""
    head, *body = table.grid(missing="--", mark=_marked)
    notes = "".join(f"% {note}\n" for note in [table.title, *table.notes])
    rows = tabulate(body, head, tablefmt="latex_booktabs", disable_numparse=True)
    return f"{notes}{rows.replace(OPEN, BOLD).replace(CLOSE, '}')}\n"


def latex_document(tables: Sequence[Table]) -> str:
    """Return a complete LaTeX document of tables, each scaled to the width of a page, with title and notes."""
    parts = [
        LATEX_TABLE.format(title=tex(t.title), tabular=latex(t), notes=" ".join(map(tex, t.notes))) for t in tables
    ]
    return LATEX_DOCUMENT.format(body="\n".join(parts))


def tex(text: str) -> str:
    """Escape plain text for LaTeX."""
    return "".join(LATEX_ESCAPES.get(letter, letter) for letter in text)


def html(table: Table) -> str:
    """Return a table as an HTML table element with its caption and notes."""
    head, *body = table.grid(mark=_marked)
    element = str(tabulate(body, head, tablefmt="html", disable_numparse=True))
    element = element.replace(OPEN, "<strong>").replace(CLOSE, "</strong>")
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in table.notes)
    return element.replace("<table>", f"<table>\n<caption>{escape(table.title)}</caption>", 1) + f"\n{notes}"


FORMATS: dict[str, Callable[[Table], str]] = {"md": markdown, "csv": csv_text, "latex": latex, "html": html}


def plain(table: Table) -> str:
    """Return a table as aligned text without boxes, for pipes and files."""
    head, *body = table.grid()
    notes = "".join(f"{note}\n" for note in table.notes)
    return f"{table.title}\n\n{tabulate(body, head, tablefmt='simple', disable_numparse=True)}\n\n{notes}"


def terminal(table: Table, *, wrap: bool = False) -> "RichTable":
    """Return a table for a rich console; `wrap` breaks long cells and aligns all columns left, for prose."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape as literal
    from rich.table import Table as RichTable

    rich_table = RichTable(title=table.title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    rich_table.show_edge = rich_table.pad_edge = False
    rich_table.collapse_padding = True
    head, *body = table.grid(mark=_marked)
    for place, name in enumerate(head):
        rich_table.add_column(
            literal(name), justify="left" if wrap or place == 0 else "right", no_wrap=place == 0 or not wrap
        )
    for row in body:
        rich_table.add_row(*(literal(cell).replace(OPEN, "[bold]").replace(CLOSE, "[/bold]") for cell in row))
    return rich_table


def _literal(cell: str) -> str:
    """Escape pipes and asterisks in a cell of a Markdown table, then set marked text in bold."""
    return cell.replace("|", r"\|").replace("*", r"\*").replace(OPEN, "**").replace(CLOSE, "**")


def _marked(cell: str) -> str:
    return f"{OPEN}{cell}{CLOSE}"
