"""The table of defenses and attacks, with the worst case in the first column."""

from collections.abc import Iterator, Sequence

from robench.report.alike import told_apart
from robench.report.selection import Selection, base_name
from robench.report.table import Estimate, Table
from robench.report.trust import NO_DIAGNOSTICS, Trust
from robench.report.worst_case import worst_case
from robench.store import Header, Record

CLEAN, WORST, TRUST = "clean", "worst case", "trust"
INCOMPLETE = " *"
"""The mark of a row that lacks attacks of other rows."""
INCOMPLETE_NOTE = (
    f"{INCOMPLETE.strip()} Attacks are missing that others have: its worst case does not compare with theirs."
)
WORST_NOTE = "Worst case: an example counts only if it withstands every attack shown."


def robustness(selection: Selection) -> Table:
    """Accuracy in percent with Wilson's 95% interval, one row per defense, one column per attack."""
    attacks = attack_names(selection)
    table = Table(
        title="Robust accuracy (%), 95% Wilson interval",
        corner="defense",
        columns=[WORST, TRUST, CLEAN, *attacks],
        notes=[threats(selection), WORST_NOTE],
    )
    lacking: dict[tuple[str, ...], list[str]] = {}
    doubts: dict[str, Trust] = {}
    for name, records in selection.defenses.items():
        cells = {record.header.attack.name: (record.robust_accuracy, record.interval) for record in records}
        worst = worst_case(records)
        doubts[name] = worst.trust
        missing = lacking_attacks(attacks, records)
        row = {
            WORST: cell(worst.robust_accuracy, worst.interval),
            TRUST: worst.trust.level + (INCOMPLETE if missing else ""),
            CLEAN: cell(records[0].clean_accuracy),
        }
        row.update({attack: cell(*found) for attack, found in cells.items()})
        table.add(name, row)
        if missing:
            lacking.setdefault(missing, []).append(name)
    table.notes += [*told_apart(selection.defenses), *_doubts(doubts), *_gaps(lacking), *_particulars(selection)]
    return table


def attack_names(selection: Selection) -> list[str]:
    """Return the names of all attacks on the defenses of a selection, each once."""
    return list(dict.fromkeys(r.header.attack.name for records in selection.defenses.values() for r in records))


def lacking_attacks(attacks: Sequence[str], records: Sequence[Record]) -> tuple[str, ...]:
    """Return the attacks that apply to a defense but are missing among its records.

    If attacks are missing, the worst case of the defense does not compare with the worst cases of others.
    """
    found = {record.header.attack.name for record in records}
    return tuple(attack for attack in attacks if attack not in found and _applies(attack, records[0]))


def _doubts(verdicts: dict[str, Trust]) -> Iterator[str]:
    """Yield the reasons against trust in worst cases; defenses with the same reasons share a sentence."""
    said: dict[str, list[str]] = {}
    for name, found in verdicts.items():
        if not found.measured:
            said.setdefault(NO_DIAGNOSTICS, []).append(name)
        elif found.findings:
            said.setdefault(found.sentence(), []).append(name)
    return (f"{', '.join(names)}: {sentence}" for sentence, names in said.items())


def _gaps(lacking: dict[tuple[str, ...], list[str]]) -> Iterator[str]:
    """Yield notes on missing attacks, with the commands that fill the empty cells."""
    if lacking:
        yield INCOMPLETE_NOTE
    for missing, names in lacking.items():
        models = " ".join(f"--model {name}" for name in names)
        attacks = " ".join(f"--attack {attack}" for attack in missing)
        yield f"To fill the empty cells: `robench eval {models} {attacks}`."


def _particulars(selection: Selection) -> Iterator[str]:
    """Yield notes on faults, attacks whose last iterate counts, and records that are not shown."""
    for name, records in selection.defenses.items():
        void = [r.header.attack.name for r in records if r.header.invalid]
        if void:
            yield f"{name}: the judge found faults in {', '.join(void)}; see the records."
    everything = [record.header.attack for records in selection.defenses.values() for record in records]
    last = sorted({attack.name for attack in everything if attack.success == "last"})
    if last:
        yield f"Only the last iterate counts for {', '.join(last)}."
    searches: dict[str, list[str]] = {}
    for name, records in selection.defenses.items():
        for search in {record.header.search: None for record in records}:
            searches.setdefault(search, []).append(name)
    if len(searches) > 1:
        forms = "; ".join(f"{search}: {', '.join(names)}" for search, names in searches.items())
        yield f"The form of the network in the search differs, which can change a verdict by rounding only. {forms}."
    if selection.left_out:
        yield f"Left out: {selection.left_out} record{'s' * (selection.left_out > 1)} of other {selection.reasons}."
    if selection.unshown:
        yield f"{selection.unshown} more defenses have records; name them with --model."


def _applies(attack: str, record: Record) -> bool:
    """Return whether a missing attack is a gap in the row of a record's defense.

    Attacks with substitutes or budgets are the user's choice. An attack that normalises features is the same as the
    plain attack if the network normalises features itself.
    """
    if base_name(attack) != attack:
        return False
    head: dict[str, object] = record.header.identity["model"].get("head", {})
    return not (attack.startswith("fn-") and head.get("kind") == "he" and bool(head.get("fn")))


def cell(value: float, interval: tuple[float, float] | None = None) -> str:
    """Return a percentage as a cell, with its interval if there is one."""
    return f"{value:.2f}" if interval is None else Estimate(value, interval)


def setting(header: Header) -> str:
    """Return the settings that the records of one table share, in words: dataset, threat model, examples, seed."""
    searched = "" if header.precision == "fp32" else f", searched in {header.precision}"
    return f"{header.dataset}, {header.goal}, {header.n} examples, seed {header.seed}{searched}"


def threats(selection: Selection) -> str:
    """Return a note on the settings of a selection; if there are several, each with the names of its defenses."""
    shared: dict[str, list[str]] = {}
    for name, records in selection.defenses.items():
        shared.setdefault(setting(records[0].header), []).append(name)
    if len(shared) == 1:
        return f"{next(iter(shared))}."
    return " ".join(f"{what}: {', '.join(names)}." for what, names in shared.items())
