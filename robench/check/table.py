"""The gate's verdict as a table: cells, differences, p values and flipped examples."""

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
"""Number of ids of flipped examples that a cell shows; JUnit XML has all ids."""
Commands = Mapping[tuple[str, str], str]
"""The command that reproduces a regression, by `cell_key`."""


def cell_key(cell: Cell) -> tuple[str, str]:
    """Return the key of a cell in `Commands`: defense and name."""
    return cell.model, cell.name


def gate_table(
    cell_results: Sequence[CellResult], max_drop: float, alpha: float, commands: Commands, *, accepted: bool = False
) -> Table:
    """Make a table with one row per cell, the worst case of each defense first.

    Args:
        cell_results: the results of all cells.
        max_drop, alpha: the thresholds of the gate, see `robench.check.rule`.
        commands: the commands that reproduce the cells that regressed.
        accepted: whether the fresh verdicts become the baseline even if cells regressed.
    """
    count = Counter(result.verdict for result in cell_results)
    table = Table(
        _title(count, cell_results, accepted), "defense, cell", [BASELINE, NOW, DIFFERENCE, P, LOST, GAINED, VERDICT]
    )
    if cell_results and not count[REGRESSION]:
        fewest_examples = min(result.cell.n for result in cell_results)
        least = smallest_drop(fewest_examples, len(cell_results), max_drop, alpha)
        table.title += f"; {least}" if least else ""
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
    """Return the cells that regressed, the smallest p value first."""
    failed = [result for result in cell_results if result.verdict == REGRESSION]
    return sorted(failed, key=lambda result: (result.p, result.cell.difference))


def sentence(result: CellResult) -> str:
    """Return one sentence on the accuracies and flipped examples of a cell, without a full stop."""
    cell = result.cell
    return (
        f"{cell.name} of {cell.model}: {cell.before:.2f}% before, {cell.after:.2f}% now "
        f"({cell.difference:+.2f} points, p {p_text(result.p)} after Holm), {len(cell.lost)} examples lost, "
        f"{len(cell.gained)} gained"
    )


def ids_text(ids: Column, shown: int | None = None) -> str:
    """Return the number of ids and the first `shown` of them, like `7: 3, 41, 55, 60, 71, ...`."""
    if not len(ids):
        return "none"
    more = ", ..." if shown is not None and len(ids) > shown else ""
    return f"{len(ids)}: {', '.join(map(str, ids[:shown].tolist()))}{more}"


def smallest_drop(n: int, cells: int, max_drop: float, alpha: float) -> str:
    """Return in words the smallest drop of one cell that can fail, if that is more than `max_drop` points, else "".

    Args:
        n: the number of examples of the defense that has the fewest.
        cells: the number of cells.
        max_drop, alpha: the thresholds of the gate.
    """
    fewest = detectable(cells, alpha)
    drop = 100.0 * fewest / n
    return "" if drop <= max_drop else f"of {n} examples, {fewest} or more must be lost to fail ({drop:.1f} points)"


def _title(count: Counter[str], cell_results: Sequence[CellResult], accepted: bool) -> str:
    defenses = len({result.cell.model for result in cell_results})
    of = f"{len(cell_results)} cells of {defenses} defense{'s' if defenses > 1 else ''}"
    others = ", ".join(f"{count[verdict]} {verdict}" for verdict in (LOWER, SAME, HIGHER) if count[verdict])
    if count[REGRESSION]:
        word, rest = "accepted" if accepted else "FAILED", f" ({others})" if others else ""
        return f"{word}: {count[REGRESSION]} of {of} regressed{rest}"
    return f"passed: none of {of} regressed ({others})"
