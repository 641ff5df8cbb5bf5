"""Tables by name, from all stored verdicts: the main tables and the paper's."""

from collections.abc import Sequence
from pathlib import Path

from robench.errors import IncompleteError, InputError, unknown
from robench.paths import default_results
from robench.report import corruptions, robustbench
from robench.report.overestimate import overestimate
from robench.report.paper import PAPER_TABLES, VerdictSource, View, has_ours, paper_table
from robench.report.paper.published import layouts
from robench.report.queries import queries
from robench.report.robustness import robustness
from robench.report.selection import Selection, base_name, load, select
from robench.report.sweeps import sweeps
from robench.report.table import Table
from robench.specs import EMBEDDED, battery_attacks, find_card
from robench.specs.robustbench import PREFIX, find_entry, installed_version
from robench.store import Record

TABLES = {
    "robustness": robustness,
    "overestimate": overestimate,
    "queries": queries,
    "corruptions": corruptions.overview,
}
"""The main tables, which show any defenses and attacks: each entry makes a `Table` from a `Selection`."""
PAPER = "paper"
"""Value of --against for the numbers of the paper."""


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
    """Make one table from stored verdicts; no attack is run, and torch is not loaded.

    Args:
        name: `robustness`, `overestimate`, `queries`, `corruptions`, or a table of the paper like `table2`.
        dataset: the dataset whose defenses the paper's tables show.
        against: "paper" shows the published value and the difference beside each cell of the paper's tables,
            "robustbench" those of RobustBench's networks in the table `robustness`.
        intervals: show Wilson's 95% intervals in the paper's tables too.
        models: the defenses that the main tables show; by default all.
        battery: the battery whose attacks the main tables show; by default all attacks.
        results: a folder of records; by default the default folder and the records that robench ships.

    Raises:
        InputError: no such table, model or battery.
        IncompleteError: there are no records to show.
    """
    folder = Path(results) if results is not None else None
    check_against(against)
    view, beside = View(against == PAPER, intervals), against == robustbench.SOURCE
    return tables([name], dataset, view, models, battery, folder, beside_robustbench=beside)[0]


def about() -> dict[str, str]:
    """Return a short description of every table, by its name."""
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
    *,
    beside_robustbench: bool = False,
) -> list[Table]:
    """Make several tables; without names, the main tables that have rows.

    Args:
        names: the tables.
        dataset: the dataset whose defenses the paper's tables show.
        view: the additions to the paper's tables.
        models: the defenses that the main tables show; by default all.
        battery: the battery whose attacks the main tables show; by default all attacks.
        results: a folder of records.
        beside_robustbench: show the networks of RobustBench beside their published numbers, in `robustness` alone.

    Raises:
        InputError: no such table, model or battery, or a table to which RobustBench's numbers do not belong.
        IncompleteError: there are no records to show.
    """
    for name in names:
        if name not in TABLES and name not in PAPER_TABLES:
            raise unknown("table", name, [*TABLES, *PAPER_TABLES])
    main = [name for name in names or TABLES if name in TABLES]
    if (models or battery) and len(main) < len(names):
        fixed = next(name for name in names if name not in TABLES)
        raise InputError(
            f"'{fixed}' has fixed rows and columns: --model and --battery narrow only {', '.join(TABLES)}."
        )
    made = {}
    if beside_robustbench:
        if set(names) != {"robustness"}:
            raise InputError("--against robustbench is for the table robustness: name it alone.")
        _, selection = load_selection(models, battery, results, of_robustbench=True)
        return [robustbench.beside(robustness(selection), selection)]
    if main:
        _, selection = load_selection(models, battery, results)
        made = {name: TABLES[name](selection) for name in main}
    source = VerdictSource(dataset, results)
    made |= {name: _filled(paper_table(name, source, view), source) for name in names if name in PAPER_TABLES}
    return [made[name] for name in names] if names else [each for each in made.values() if each.rows]


def _filled(table: Table, source: VerdictSource) -> Table:
    """Return a table if one of its cells was measured here.

    Raises:
        IncompleteError: no cell was measured here; the message says how to begin.
    """
    if has_ours(table):
        return table
    fill = next((note for note in table.notes if note.startswith("To fill")), "")
    where = source.results or default_results()
    raise IncompleteError(f"'{where}' has no verdicts on {source.dataset} for '{table.title}'. {fill}".strip())


def check_against(text: str | None) -> None:
    """Check that published numbers are requested of a known source, or none.

    Raises:
        InputError: the numbers of another source are requested.
    """
    if text not in (None, PAPER, robustbench.SOURCE):
        raise InputError(f"--against '{text}': use {PAPER} or {robustbench.SOURCE}.")


def load_selection(
    models: Sequence[str] | None, battery: str | None, results: Path | None, *, of_robustbench: bool = False
) -> tuple[list[Record], Selection]:
    """Load all records of a battery's attacks, and select the records that stand together.

    Args:
        models: the defenses, by name; by default all registered ones.
        battery: the battery; by default all attacks.
        results: a folder of records.
        of_robustbench: take by default all networks of RobustBench.

    Raises:
        InputError: no such model or battery, or RobustBench is needed and not installed.
        IncompleteError: there are no records.
    """
    if of_robustbench:
        installed_version()  # raises, before the records are read, if RobustBench is not installed
    wanted = {spec.name for spec in battery_attacks(battery)} if battery else None
    records = [record for record in load(results) if wanted is None or base_name(record.header.attack.name) in wanted]
    # Every name in records, with the name that the user typed.
    typed = {name: model for model in models or () for name in _names(model, records)}
    names = list(typed) if models else None
    if of_robustbench and names is None:
        names, typed = robustbench.names_of(records), {f"{PREFIX}NAME": ""}
    selection = select(records, names, sweeps(results, names))
    if not selection.defenses and not selection.corrupted:
        # No command takes the name of a card outside the registry, so the message repeats what the user typed.
        defense = next((model if "@" in name else name for name, model in typed.items()), "NAME")
        options = f" --battery {battery}" if battery else ""
        raise IncompleteError(
            f"'{results or default_results()}' has no records of {defense}{' under ' + battery if battery else ''} to "
            f"show: run `robench eval --model {defense}{options}` first."
        )
    return records, selection


def _names(model: str, records: Sequence[Record]) -> list[str]:
    """Return the names in records of a defense that the user names: a card, or a network of RobustBench.

    Raises:
        InputError: no such card or network, or RobustBench is needed and not installed.
    """
    if not model.startswith(PREFIX):
        return [find_card(model).name]
    return robustbench.names_of(records, find_entry(model.removeprefix(PREFIX)).full) or [model]
