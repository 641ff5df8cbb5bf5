"""The columns of the main tables that fit a screen."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from robench.report.corruptions import MCA, MCE
from robench.report.queries import MEAN, MEDIAN, ROBUST, SUCCESSES
from robench.report.robustness import CLEAN, TRUST, WORST, WORST_NOTE
from robench.report.table import Estimate, Table

QUOTED = ("pgd-20", "autoattack", "cascade")
"""The attacks that are quoted most: plain PGD, the standard ensemble, and robench's own."""
FEW = 3
"""Number of attacks that fit a screen, whichever they are."""
ALWAYS: dict[str, Sequence[str]] = {
    "robustness": (WORST, TRUST, CLEAN),
    "overestimate": (WORST, CLEAN),
    "queries": (ROBUST, SUCCESSES, MEAN, MEDIAN),
    "corruptions": (CLEAN, MCA, MCE),
}
"""The columns that every screen shows, by table."""
BY_ATTACK = ("robustness", "overestimate")
"""The tables whose other columns are attacks."""
FILL = "To fill the empty cells"
ALL_COUNT = "Worst case: an example counts only if it withstands every attack, also those not shown."


def for_screen(name: str, table: Table) -> Table:
    """Return a main table with the columns that fit a screen, and a note on the others."""
    always = [column for column in table.columns if column in ALWAYS[name]]
    others = [column for column in table.columns if column not in always]
    shown = others if len(others) <= FEW else [each for each in QUOTED if each in others]
    if name not in BY_ATTACK:
        shown = []
    kept = (*always, *shown)
    rows: dict[str, Mapping[str, str]] = {
        row: _brief({column: cells[column] for column in kept if column in cells}, shown)
        for row, cells in table.rows.items()
    }
    hidden = len(others) - len(shown)
    if not hidden:
        return replace(table, rows=rows)
    notes = [ALL_COUNT if note == WORST_NOTE else note for note in table.notes if not note.startswith(FILL)]
    fills = ", also for the commands that fill empty cells" if len(notes) < len(table.notes) else ""
    notes.append(f"Not shown: {hidden} more {'attacks' if name in BY_ATTACK else 'columns'}; add --all-attacks{fills}.")
    return replace(table, columns=list(kept), rows=rows, notes=notes)


def _brief(cells: Mapping[str, str], attacks: Sequence[str]) -> dict[str, str]:
    """Return the cells of a row with the intervals of attacks left out."""
    return {
        column: cell.value if column in attacks and isinstance(cell, Estimate) else cell
        for column, cell in cells.items()
    }
