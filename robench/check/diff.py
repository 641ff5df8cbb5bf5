"""The table of `robench diff`: two defenses or two runs, paired by example."""

from collections.abc import Iterable, Iterator, Sequence

from robench.check.comparable import fields_text
from robench.check.compare import Cell, compare
from robench.check.diff_input import Pair
from robench.report import Table
from robench.report.robustness import WORST
from robench.report.table import p_text
from robench.specs import digest
from robench.store import SHORT

FIRST, SECOND, DIFFERENCE, ONLY_FIRST, ONLY_SECOND, P = "A %", "B %", "difference", "only A", "only B", "p"


def diff_tables(names: tuple[str, str], pairs: Iterable[Pair]) -> list[Table]:
    """Make one table per set of examples and threat model; if there are several, each title names its own."""
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        data = digest(pair.first[0].header.identity["data"])
        groups.setdefault(f"{_setting(pair)} {data}", []).append(pair)
    made = [diff_table(names, group) for group in groups.values()]
    settings = [_setting(group[0]) for group in groups.values()]
    for table, said, group in zip(made, settings, groups.values(), strict=True):
        if len(made) > 1:
            data = digest(group[0].first[0].header.identity["data"])[:SHORT]
            table.title += f": {said.rstrip('.')}" + (f", examples {data}" if settings.count(said) > 1 else "")
    return made


def diff_table(names: tuple[str, str], pairs: Sequence[Pair]) -> Table:
    """Make a table with one row per cell: both accuracies, their difference B minus A, unpaired verdicts, p value.

    Args:
        names: the names that the user gave the two inputs.
        pairs: the paired defenses; if there are several, each row names its defense.
    """
    table = Table(
        f"A: {names[0]}; B: {names[1]}",
        "attack",
        [FIRST, SECOND, DIFFERENCE, ONLY_FIRST, ONLY_SECOND, P],
        [_setting(pair) for pair in pairs[:1]],
    )
    table.notes.append(
        f"Difference B minus A, in points. Only A: robust on A, not on B. {WORST.capitalize()}: of the attacks shown. "
        "p: exact McNemar test, two-sided, paired by example, not corrected for the number of rows."
    )
    for pair in pairs:
        for cell in compare(pair.names[0], pair.first, pair.second):
            table.add(f"{cell.model} {cell.name}" if len(pairs) > 1 else cell.name, _cells(cell))
    table.notes += dict.fromkeys(note for pair in pairs for note in _particulars(pair))
    return table


def _cells(cell: Cell) -> dict[str, str]:
    return {
        FIRST: f"{cell.before:.2f}",
        SECOND: f"{cell.after:.2f}",
        DIFFERENCE: f"{cell.difference:+.2f}",
        ONLY_FIRST: str(len(cell.lost)),
        ONLY_SECOND: str(len(cell.gained)),
        P: p_text(cell.p),
    }


def _setting(pair: Pair) -> str:
    header = pair.first[0].header
    return f"{header.dataset}, {header.goal}, {header.n} examples."


def _particulars(pair: Pair) -> Iterator[str]:
    """Yield notes on settings that differ and on attacks that were left out."""
    for what, values in (("seed", _each(pair, "seed")), ("precision", _each(pair, "precision"))):
        if values[0] != values[1]:
            yield f"The {what} differs: {values[0]} in A, {values[1]} in B."
    if pair.first[0].header.model_identity == pair.second[0].header.model_identity:
        yield f"{pair.names[0]}: the same network on both sides."
    for name, fields in pair.different.items():
        yield f"Left out, not the same attack: {name}, {fields_text(fields, 'in A', 'in B')}."
    if pair.unmatched:
        yield f"Left out, on one side only: {', '.join(pair.unmatched)}."


def _each(pair: Pair, field: str) -> tuple[object, object]:
    first, second = (getattr(records[0].header, field) for records in (pair.first, pair.second))
    return first, second
