"""How a table is written: terminal, Markdown, CSV, LaTeX, HTML."""

import csv
import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from tabulate import LATEX_ESCAPE_RULES, tabulate

from robench.report.table import Estimate, Table

if TYPE_CHECKING:
    from rich.table import Table as RichTable

BULLET, ESCAPED = re.compile(r"^(?=[*+-] )"), r"\\"
"""A note that begins like an item of a list."""
OPEN, CLOSE = "\ue000", "\ue001"
"""Stand for the marks of a best cell until everything else is escaped."""

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


def markdown(table: Table) -> str:
    """A GitHub-flavoured pipe table."""
    head, *body = [[_literal(cell) for cell in row] for row in table.grid(mark=_marked)]
    notes = "".join(f"\n{BULLET.sub(ESCAPED, note)}\n" for note in table.notes)
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
    """A tabular for the booktabs package, the best cells in bold."""
    head, *body = table.grid(missing="--", mark=_marked)
    notes = "".join(f"% {note}\n" for note in [table.title, *table.notes])
    rows = tabulate(body, head, tablefmt="latex_booktabs", disable_numparse=True)
    return f"{notes}{rows.replace(OPEN, BOLD).replace(CLOSE, '}')}\n"


def latex_document(tables: Sequence[Table]) -> str:
    """A document that compiles as it is: every tabular scaled to the width of a page, its title above, notes below."""
    parts = [
        LATEX_TABLE.format(title=tex(t.title), tabular=latex(t), notes=" ".join(map(tex, t.notes))) for t in tables
    ]
    return LATEX_DOCUMENT.format(body="\n".join(parts))


def tex(text: str) -> str:
    """Plain text for LaTeX."""
    return "".join(LATEX_ESCAPES.get(letter, letter) for letter in text)


def html(table: Table) -> str:
    """A table element with its caption and notes."""
    head, *body = table.grid(mark=_marked)
    element = str(tabulate(body, head, tablefmt="html", disable_numparse=True))
    element = element.replace(OPEN, "<strong>").replace(CLOSE, "</strong>")
    notes = "".join(f"<p>{escape(note)}</p>\n" for note in table.notes)
    return element.replace("<table>", f"<table>\n<caption>{escape(table.title)}</caption>", 1) + f"\n{notes}"


FORMATS: dict[str, Callable[[Table], str]] = {"md": markdown, "csv": csv_text, "latex": latex, "html": html}


def plain(table: Table) -> str:
    """Aligned text without boxes, for pipes and files."""
    head, *body = table.grid()
    notes = "".join(f"{note}\n" for note in table.notes)
    return f"{table.title}\n\n{tabulate(body, head, tablefmt='simple', disable_numparse=True)}\n\n{notes}"


def terminal(table: Table, *, wrap: bool = False) -> "RichTable":
    """For a rich console; `wrap` breaks long cells and aligns everything left, for prose."""
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
    """A cell of a pipe table: what would end it or be taken for emphasis is escaped, then the best set in bold."""
    return cell.replace("|", r"\|").replace("*", r"\*").replace(OPEN, "**").replace(CLOSE, "**")


def _marked(cell: str) -> str:
    return f"{OPEN}{cell}{CLOSE}"
