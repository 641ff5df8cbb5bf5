"""Tables by name, from whatever is stored: the main ones and the paper's."""

from collections.abc import Sequence
from pathlib import Path

from robench.errors import IncompleteError, InputError, unknown
from robench.paths import default_results
from robench.report import corruptions
from robench.report.overestimate import overestimate
from robench.report.paper import PAPER_TABLES, VerdictSource, View, has_ours, paper_table
from robench.report.paper.published import layouts
from robench.report.queries import queries
from robench.report.robustness import robustness
from robench.report.selection import Selection, base_name, load, select
from robench.report.sweeps import sweeps
from robench.report.table import Table
from robench.specs import EMBEDDED, battery_attacks, find_card
from robench.store import Record

TABLES = {
    "robustness": robustness,
    "overestimate": overestimate,
    "queries": queries,
    "corruptions": corruptions.overview,
}
"""Those that show whatever defenses and attacks there are: each makes a `Table` from a `Selection`."""


def table(
    name: str,
    *,
    dataset: str = EMBEDDED,
    against: str | None = None,
    intervals: bool = False,
    models: Sequence[str] | None = None,
    battery: str | None = None,
    results: str | Path | None = None,
) -> Table:
    """One table from stored verdicts; nothing is run, and torch is not loaded.

    Args:
        name: `robustness`, `overestimate`, `queries`, `corruptions`, or one of the paper's, `table2`.
        dataset: whose defenses the paper's tables show.
        against: "paper" for the published value and the difference beside each cell.
        intervals: Wilson's 95% intervals, in the paper's tables too.
        models: only these defenses, in the main tables.
        battery: only its attacks, in the main tables.
        results: a folder of records; by default the default one, and what robench ships.

    Raises:
        InputError: no such table, model or battery.
        IncompleteError: there are no records to show.
    """
    folder = Path(results) if results is not None else None
    view = View(check_against(against), intervals)
    return tables([name], dataset, view, models, battery, folder)[0]


def about() -> dict[str, str]:
    """Every table by name, with what it shows."""
    makers: dict[str, object] = {**TABLES, **PAPER_TABLES}
    said = {name: (make.__doc__ or "").partition("\n")[0] for name, make in makers.items()}
    return said | {name: layout.title for name, layout in layouts().items()}


def tables(
    names: Sequence[str],
    dataset: str,
    view: View,
    models: Sequence[str] | None = None,
    battery: str | None = None,
    results: Path | None = None,
) -> list[Table]:
    """Several tables; without names the main ones that have rows.

    Raises:
        InputError: no such table, model or battery.
        IncompleteError: there are no records to show.
    """
    for name in names:
        if name not in TABLES and name not in PAPER_TABLES:
            raise unknown("table", name, [*TABLES, *PAPER_TABLES])
    main = [name for name in names or TABLES if name in TABLES]
    if (models or battery) and len(main) < len(names):
        fixed = next(name for name in names if name not in TABLES)
        raise InputError(
            f"'{fixed}' has rows and columns of its own: --model and --battery narrow {', '.join(TABLES)}."
        )
    made = {}
    if main:
        _, selection = load_selection(models, battery, results)
        made = {name: TABLES[name](selection) for name in main}
    source = VerdictSource(dataset, results)
    made |= {name: _filled(paper_table(name, source, view), source) for name in names if name in PAPER_TABLES}
    return [made[name] for name in names] if names else [each for each in made.values() if each.rows]


def _filled(table: Table, source: VerdictSource) -> Table:
    """A table in which something was measured here.

    Raises:
        IncompleteError: nothing was; says how to begin.
    """
    if has_ours(table):
        return table
    fill = next((note for note in table.notes if note.startswith("To fill")), "")
    where = source.results or default_results()
    raise IncompleteError(f"'{where}' has nothing of {source.dataset} for '{table.title}'. {fill}".strip())


def check_against(text: str | None) -> bool:
    """Whether the published numbers are asked for.

    Raises:
        InputError: those of somebody else are.
    """
    if text not in (None, "paper"):
        raise InputError(f"--against '{text}': only the paper's numbers are known, --against paper.")
    return text is not None


def load_selection(
    models: Sequence[str] | None, battery: str | None, results: Path | None
) -> tuple[list[Record], Selection]:
    """All records of a battery's attacks, and of them what stands together.

    Raises:
        InputError: no such model or battery.
        IncompleteError: there are none.
    """
    wanted = {spec.name for spec in battery_attacks(battery)} if battery else None
    named = [find_card(name).name for name in models] if models else None
    records = [record for record in load(results) if wanted is None or base_name(record.header.attack.name) in wanted]
    selection = select(records, named, sweeps(results, named))
    if not selection.defenses and not selection.corrupted:
        # Outside the registry a card has a name that no command takes: then what was typed is said.
        typed = dict(zip(named or (), models or (), strict=True))
        defense = next((model if "@" in name else name for name, model in typed.items()), "NAME")
        options = f" --battery {battery}" if battery else ""
        raise IncompleteError(
            f"'{results or default_results()}' has no records of {defense}{' under ' + battery if battery else ''} to "
            f"show: run `robench eval --model {defense}{options}` first."
        )
    return records, selection
