"""The overestimate of an attack quoted alone: its robust accuracy minus the worst case over all attacks."""

from robench.report.robustness import CLEAN, WORST, cell, threats
from robench.report.selection import Selection
from robench.report.table import Table
from robench.report.worst_case import worst_case

NOTHING = "+0.00"
"""The cell of an attack that is the worst case."""
ATTACKS = ("pgd-20", "pgd-500", "scaled-pgd-500", "adaptive-pgd-500", "autoattack", "cascade")
"""Attacks with raw cross-entropy, then attacks designed for hypersphere embedding, then ensembles."""


def trivial(table: Table) -> bool:
    """Return whether an overestimate says nothing: no attack of it was run, or one alone, which is the worst case."""
    attacks = [column for column in table.columns if column not in (WORST, CLEAN)]
    cells = {row[attack] for row in table.rows.values() for attack in attacks if attack in row}
    return len(attacks) <= 1 and cells <= {NOTHING}


def overestimate(selection: Selection) -> Table:
    """Points above the worst case, one row per defense; smaller is better for an attack."""
    shown = {r.header.attack.name for records in selection.defenses.values() for r in records}
    attacks = [attack for attack in ATTACKS if attack in shown]
    table = Table(
        title="What an attack alone leaves out: points of accuracy above the worst case",
        corner="defense",
        columns=[WORST, CLEAN, *attacks],
        notes=[threats(selection), "Worst case: an example counts only if it withstands every attack selected."],
    )
    for name, records in selection.defenses.items():
        worst = worst_case(records)
        row = {WORST: cell(worst.robust_accuracy, worst.interval), CLEAN: cell(records[0].clean_accuracy)}
        found = {record.header.attack.name: record.robust_accuracy for record in records}
        row.update({name: f"+{found[name] - worst.robust_accuracy:.2f}" for name in attacks if name in found})
        table.add(name, row)
    return table
