"""The gate's verdict as a table: what fell, by how much, whether by chance, and on which examples."""

from collections import Counter
from collections.abc import Mapping, Sequence

from robench.check.compare import HIGHER, LOWER, REGRESSION, SAME, Cell, CellResult, detectable
from robench.report import Table
from robench.report.table import p_text
from robench.store import Column

BASELINE, NOW, DIFFERENCE, P, LOST, GAINED, VERDICT = (
    "baseline %", "now %", "difference", "p (Holm)", "lost", "gained", "verdict",
)  # fmt: skip
SHOWN = 5
"""Ids of flipped examples that a cell names; JUnit XML has all."""
Commands = Mapping[tuple[str, str], str]
"""What reproduces a regression, by defense and cell."""


def cell_key(cell: Cell) -> tuple[str, str]:
    """By which its command is found."""
    return cell.model, cell.name


def gate_table(
    cell_results: Sequence[CellResult], max_drop: float, alpha: float, commands: Commands, *, accepted: bool = False
) -> Table:
    """One row a cell, the worst case of each defense first.

    Args:
        rulings: of all cells.
        max_drop, alpha: by which they were judged.
        commands: of the cells that failed.
        accepted: they become the baseline, whatever fell.
    """
    count = Counter(result.verdict for result in cell_results)
    table = Table(
        _title(count, cell_results, accepted), "defense, cell", [BASELINE, NOW, DIFFERENCE, P, LOST, GAINED, VERDICT]
    )
    for result in cell_results:
        cell = result.cell
        table.add(
            f"{cell.model} {cell.name}",
            {
                BASELINE: f"{cell.before:.2f}",
                NOW: f"{cell.after:.2f}",
                DIFFERENCE: f"{cell.difference:+.2f}",
                P: p_text(result.p),
                LOST: ids_text(cell.lost, SHOWN),
                GAINED: ids_text(cell.gained, SHOWN),
                VERDICT: result.verdict,
            },
        )
    table.notes.append(
        f"A regression is a drop of more than {max_drop:g} points with p at most {alpha:g}: exact McNemar test, "
        f"one-sided, paired by example, corrected by Holm over {len(cell_results)} cells. "
        "Lost and gained: ids of examples."
    )
    if cell_results:
        fewest = detectable(len(cell_results), alpha)
        table.notes.append(f"Of a cell that gains none, {fewest} lost examples are the fewest that are significant.")
    for result in regressions(cell_results)[:1]:
        lost, command = result.cell.lost[0], commands[cell_key(result.cell)]
        table.notes.append(f"To see example {lost} fall ({result.cell.name}): `{command}`")
    return table


def regressions(cell_results: Sequence[CellResult]) -> list[CellResult]:
    """Those that failed, the least likely chance first."""
    failed = [result for result in cell_results if result.verdict == REGRESSION]
    return sorted(failed, key=lambda result: (result.p, result.cell.difference))


def sentence(result: CellResult) -> str:
    """What became of a cell."""
    cell = result.cell
    return (
        f"{cell.name} of {cell.model}: {cell.before:.2f}% before, {cell.after:.2f}% now "
        f"({cell.difference:+.2f} points, p {p_text(result.p)} after Holm), {len(cell.lost)} examples lost, "
        f"{len(cell.gained)} gained"
    )


def ids_text(ids: Column, shown: int | None = None) -> str:
    """How many, and which: `7: 3, 41, 55, 60, 71, ...`."""
    if not len(ids):
        return "none"
    more = ", ..." if shown is not None and len(ids) > shown else ""
    return f"{len(ids)}: {', '.join(map(str, ids[:shown].tolist()))}{more}"


def _title(count: Counter[str], cell_results: Sequence[CellResult], accepted: bool) -> str:
    defenses = len({result.cell.model for result in cell_results})
    of = f"{len(cell_results)} cells of {defenses} defense{'s' if defenses > 1 else ''}"
    others = ", ".join(f"{count[verdict]} {verdict}" for verdict in (LOWER, SAME, HIGHER) if count[verdict])
    if count[REGRESSION]:
        word, rest = "accepted" if accepted else "FAILED", f" ({others})" if others else ""
        return f"{word}: {count[REGRESSION]} of {of} regressed{rest}"
    return f"passed: none of {of} regressed ({others})"
