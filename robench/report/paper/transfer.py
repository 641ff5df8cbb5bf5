"""Appendix Fig. 1: transfer of examples crafted on three defenses to six defenses."""

from robench.report.paper.published import PAPER, published
from robench.report.paper.source import VerdictSource
from robench.report.paper.view import View
from robench.report.table import Table

ATTACKS = ("pgd-20", "mim-20")
WHITE = "*"
"""The mark of examples that were crafted on the target itself."""
Matrix = dict[tuple[str, str], dict[str, str]]


def matrix() -> Matrix:
    """Return the published accuracies by substitute and attack, then by target."""
    return {(row.pop("substitute"), row.pop("attack")): row for row in published("appendix_fig1_transfer")}


def transfer(source: VerdictSource, view: View) -> Table:
    """Transfer from substitutes to targets (appendix, Fig. 1)."""
    paper = matrix()
    targets = list(next(iter(paper.values())))
    table = Table(
        "Transfer (appendix, Fig. 1): robust accuracy (%)",
        "crafted on, with",
        view.columns(targets, paper.values()),
        graded=targets,
    )
    for (substitute, attack), theirs in paper.items():
        values = {target: source.record(target, f"transfer-{attack}-from-{substitute}") for target in targets}
        row = view.cells({target: record for target, record in values.items() if record is not None}, theirs)
        if substitute in row:
            row[substitute] += WHITE
        table.add(f"{substitute}, {attack}", row)
    table.notes = [source.setting()]
    if view.against:
        table.notes.append(f"Paper: {PAPER}.")
    table.notes.append(f"{WHITE} The substitute is the target itself: white-box, but the last iterate only.")
    if source.missing:
        models = " ".join(f"--model {source.dataset}/{target}" for target in targets)
        table.notes.append(f"To fill the empty cells: `robench eval {models} --battery transfer`.")
    return table
