"""Tables by name, from all stored verdicts: the main tables and the paper's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from robench.data import find_dataset
from robench.errors import IncompleteError, InputError, unknown
from robench.paths import default_results
from robench.report import corruptions, robustbench
from robench.report.groups import groups, headings
from robench.report.narrowing import Narrowing, nothing_stored
from robench.report.overestimate import overestimate, trivial
from robench.report.paper import PAPER_TABLES, VerdictSource, View, has_ours, paper_table
from robench.report.paper.published import layouts
from robench.report.queries import queries
from robench.report.robustness import robustness
from robench.report.screen import for_screen
from robench.report.selection import Selection, load
from robench.report.sweeps import Sweep, comparable_groups, stored_models, sweeps
from robench.report.table import Table
from robench.specs import EMBEDDED, battery_attacks
from robench.specs.robustbench import PREFIX, find_entry, installed_version
from robench.store import Record

CORRUPTIONS = "corruptions"
"""The main table that has no attacks, norm or eps."""
OVERESTIMATE = "overestimate"
"""The main table that needs several attacks."""
TABLES: dict[str, Callable[[Selection], Table]] = {
    "robustness": robustness,
    OVERESTIMATE: overestimate,
    "queries": queries,
    CORRUPTIONS: corruptions.overview,
}
"""The main tables, which show any defenses and attacks: each entry makes a `Table` from a `Selection`."""
PAPER = "paper"
"""Value of --against for the numbers of the paper."""


def table(
    name: str,
    *,
    dataset: str | None = None,
    against: str | None = None,
    intervals: bool = False,
    models: Sequence[str] | None = None,
    norm: str | None = None,
    eps: str | float | None = None,
    seed: int | None = None,
    attacks: Sequence[str] | None = None,
    battery: str | None = None,
    results: str | Path | None = None,
) -> Table:
    """Make one table from stored verdicts; no attack is run, and torch is not loaded.

    A main table shows one group: records that share dataset, examples, threat model, seed, precision and target. If
    several groups fit, one without a target and with the most records is shown, and a note names the others.

    Args:
        name: `robustness`, `overestimate`, `queries`, `corruptions`, or a table of the paper like `table2`.
        dataset: the dataset that is shown; by default all, in the paper's tables the embedded one.
        against: "paper" shows the published value beside each cell of the paper's tables, "robustbench" those of
            RobustBench's networks in the table `robustness`; and the difference if both have the same dataset, norm
            and eps.
        intervals: show Wilson's 95% intervals in the paper's tables too.
        models: the defenses that the main tables show; by default all.
        norm: the norm of the threat model that is shown.
        eps: the radius that is shown.
        seed: the seed of the attacks that is shown.
        attacks: the attacks that the main tables show; by default all.
        battery: the battery whose attacks the main tables show; by default all attacks.
        results: a folder of records; by default the default folder and the records that robench ships.

    Raises:
        InputError: no such table, model, attack or battery.
        IncompleteError: there are no records to show.
    """
    folder = Path(results) if results is not None else None
    source = check_against(against)
    view = View(source == PAPER, intervals)
    narrowing = Narrowing(dataset, models, norm, None if eps is None else str(eps), seed, attacks, battery)
    beside = source == robustbench.SOURCE
    if name in TABLES and name != CORRUPTIONS and not beside:
        stored = Stored.of(narrowing, folder)
        chosen = max(stored.groups, key=_first_shown, default=Selection({}, 0))
        made = TABLES[name](chosen)
        others = [said for group, said in zip(stored.groups, headings(stored.groups), strict=True) if group != chosen]
        made.notes += [f"Other groups, not comparable with this one: {'; '.join(others)}."] if others else []
        return made
    return tables([name], view, narrowing, folder, beside_robustbench=beside)[0]


def _first_shown(group: Selection) -> tuple[bool, int]:
    """Return a key that is highest for the group that is shown if only one is: no target, most records."""
    records = [record for mine in group.defenses.values() for record in mine]
    return not any(record.header.target for record in records), len(records)


def about() -> dict[str, str]:
    """Return a short description of every table, by its name."""
    makers: dict[str, object] = {**TABLES, **PAPER_TABLES}
    said = {name: (make.__doc__ or "").partition("\n")[0] for name, make in makers.items()}
    return said | {name: layout.title for name, layout in layouts().items()}


def tables(
    names: Sequence[str],
    view: View,
    narrowing: Narrowing,
    results: Path | None = None,
    *,
    screen: bool = False,
    beside_robustbench: bool = False,
) -> list[Table]:
    """Make several tables, main tables once per group; without names, the main tables that have rows.

    Args:
        names: the names of the tables.
        view: the additions to the cells of the paper's tables.
        narrowing: the records that are shown.
        results: a results folder; by default the default folder and the records that robench ships.
        screen: keep only the columns of the main tables that fit a screen.
        beside_robustbench: show the networks of RobustBench beside their published numbers, in `robustness` alone.

    Raises:
        InputError: no such table, model, attack or battery; or an option does not fit a table.
        IncompleteError: there are no records to show.
    """
    for name in names:
        if name not in TABLES and name not in PAPER_TABLES:
            raise unknown("table", name, [*TABLES, *PAPER_TABLES])
    main = [name for name in names or TABLES if name in TABLES]
    fixed = next((name for name in names if name not in TABLES), None)
    if fixed and (narrowing.models or narrowing.names_attacks):
        raise InputError(
            f"'{fixed}' has fixed rows and columns: --model, --attack and --battery narrow only {', '.join(TABLES)}."
        )
    made: dict[str, list[Table]] = {}
    if beside_robustbench:
        if set(names) != {"robustness"}:
            raise InputError("--against robustbench is for the table robustness: name it alone.")
        return Stored.of(narrowing, results, of_robustbench=True).beside_robustbench()
    if main:
        stored = Stored.of(narrowing, results)
        made = {name: stored.tables(name) for name in main}
    if screen:
        made = {name: [for_screen(name, each) for each in mine] for name, mine in made.items()}
    if fixed:
        dataset = find_dataset(narrowing.dataset or EMBEDDED).name
        source = VerdictSource(dataset, results, narrowing=narrowing)
        made |= {name: [_filled(paper_table(name, source, view), source)] for name in names if name in PAPER_TABLES}
    if names:
        return [each for name in names for each in made[name]]
    return [each for name in made for each in made[name] if each.rows and not (name == OVERESTIMATE and trivial(each))]


@dataclass(frozen=True)
class Stored:
    """The stored verdicts that main tables show.

    Attributes:
        records: all records that fit, also stale ones.
        groups: the records that compare with each other, by group.
        corrupted: the sweeps over common corruptions that compare with each other, by group.
    """

    records: list[Record]
    groups: list[Selection]
    corrupted: list[dict[str, Sweep]]

    @classmethod
    def of(cls, narrowing: Narrowing, results: Path | None, *, of_robustbench: bool = False) -> "Stored":
        """Load the records and the sweeps that fit; `of_robustbench` takes by default all networks of RobustBench.

        Raises:
            InputError: no such model or attack, or RobustBench is needed and not installed.
            IncompleteError: nothing fits.
        """
        if of_robustbench:
            installed_version()  # raises, before the records are read, if RobustBench is not installed
        records = load(results)
        if of_robustbench and not narrowing.models:
            theirs = robustbench.names_of(records)
            if not theirs:
                raise nothing_stored(replace(narrowing, models=[f"{PREFIX}NAME"]), results)
            narrowing = replace(narrowing, models=theirs)
        narrowing = _with_names_of_robustbench(narrowing, records, results)
        narrowing = narrowing.named(
            [*(record.header.model for record in records), *(stored_models(results) if narrowing.models else ())]
        )
        names = list(narrowing.models) if narrowing.models else None
        corrupted = comparable_groups(_sweeps(narrowing, names, results))
        try:
            kept = narrowing.of(records)
        except IncompleteError:
            if not corrupted:
                raise
            kept = []
        found = groups(kept, names)
        if not found and not corrupted:
            raise nothing_stored(narrowing, results)
        return cls(kept, found, corrupted)

    def beside_robustbench(self) -> list[Table]:
        """Make the table `robustness` once per group, beside the numbers that RobustBench publishes.

        Raises:
            InputError: RobustBench is not installed.
        """
        return [
            robustbench.beside(table, group)
            for table, group in zip(self.tables("robustness"), self.groups, strict=True)
        ]

    def tables(self, name: str) -> list[Table]:
        """Make a main table once per group; if nothing fits, one table without rows."""
        if name == CORRUPTIONS:
            shown = [Selection({}, 0, corrupted={each: [s] for each, s in mine.items()}) for mine in self.corrupted]
        else:
            shown = self.groups
        made = [TABLES[name](group) for group in shown or [Selection({}, 0)]]
        for table, group in zip(made, shown, strict=False):
            table.title += f": {group.heading}" if group.heading else ""
        return made


def _with_names_of_robustbench(narrowing: Narrowing, records: Sequence[Record], results: Path | None) -> Narrowing:
    """Return the same choice with the names in records of each network that is named as one of RobustBench.

    Raises:
        InputError: no such network, or RobustBench is not installed.
        IncompleteError: there are no records of it.
    """
    names: list[str] = []
    for model in narrowing.models or ():
        found = [model]
        if model.startswith(PREFIX):
            found = robustbench.names_of(records, find_entry(model.removeprefix(PREFIX)).full)
            if not found:
                raise nothing_stored(narrowing, results)
        names += found
    return replace(narrowing, models=names, typed=narrowing.models or ()) if names else narrowing


def _sweeps(narrowing: Narrowing, names: list[str] | None, results: Path | None) -> dict[str, list[Sweep]]:
    """Return the sweeps that fit; none if the user chose norm, eps or attacks, which sweeps do not have."""
    attacks = narrowing.attacks or (narrowing.battery and battery_attacks(narrowing.battery))
    if narrowing.names_threat or attacks:
        return {}
    found = sweeps(results, names, every=True)
    return {name: [sweep for sweep in mine if narrowing.fits_sweep(sweep)] for name, mine in found.items()}


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


def check_against(text: str | None) -> str | None:
    """Return the source whose published numbers are requested; None if none is.

    Raises:
        InputError: the numbers of another source are requested.
    """
    if text not in (None, PAPER, robustbench.SOURCE):
        raise InputError(f"--against '{text}': use {PAPER} or {robustbench.SOURCE}.")
    return text
