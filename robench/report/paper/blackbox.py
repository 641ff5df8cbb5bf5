"""Tables of accuracy against queries of the six main defenses."""

from robench.report.paper.seeds import MAIN
from robench.report.paper.source import VerdictSource
from robench.report.paper.view import View
from robench.report.queries import accuracy_after, budget, queries
from robench.report.selection import Selection
from robench.report.table import Table
from robench.store import Record

ASKING = ("square", "nes-80", "spsa-80", "zoo", "rays")
"""Black-box attacks, only the longest of each family."""
GRID = [digit * 10**power for power in range(5) for digit in (1, 2, 3, 5, 7)]
"""The numbers of queries that have a row in the table of curves."""


def query_costs(source: VerdictSource, view: View) -> Table:
    """Queries per success, and accuracy after some queries."""
    found = {name: [record for attack in ASKING if (record := source.record(name, attack))] for name in MAIN}
    table = queries(Selection({name: records for name, records in found.items() if records}, 0))
    table.notes += source.fill()
    return table


def curves(source: VerdictSource, view: View) -> Table:
    """Robust accuracy of the six main defenses after increasing numbers of queries."""
    found = {f"{name} {attack}": source.record(name, attack) for name in MAIN for attack in ASKING}
    columns: dict[str, Record] = {
        column: record for column, record in found.items() if record is not None and record.queries is not None
    }
    table = Table("Robust accuracy (%) after so many queries of an example", "queries", list(columns))
    for asked in GRID:
        cells = {c: f"{accuracy_after(r, asked):.2f}" for c, r in columns.items() if asked <= (budget(r) or asked)}
        if cells:
            table.add(str(asked), cells)
    table.notes = [source.setting(), "Beyond an attack's budget cells stay empty.", *source.fill()]
    return table
