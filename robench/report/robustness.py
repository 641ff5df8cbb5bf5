"""The table of defenses and attacks, worst case first."""

from collections.abc import Iterator, Sequence

from robench.report.selection import Selection, base_name
from robench.report.table import Estimate, Table
from robench.report.trust import Trust
from robench.report.worst_case import worst_case
from robench.store import Record

CLEAN, WORST, TRUST = "clean", "worst case", "trust"
INCOMPLETE = " *"
"""Marks a row that lacks attacks of others."""


def robustness(selection: Selection) -> Table:
    """Accuracy in percent with Wilson's 95% interval, one row a defense, one column an attack."""
    attacks = attack_names(selection)
    table = Table(
        title="Robust accuracy (%), 95% Wilson interval",
        corner="defense",
        columns=[WORST, TRUST, CLEAN, *attacks],
        notes=[threats(selection), "Worst case: an example counts only if it withstands every attack shown."],
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
    table.notes += [*_doubts(doubts), *_gaps(lacking), *_particulars(selection)]
    return table


def attack_names(selection: Selection) -> list[str]:
    """Of all attacks on any of the defenses, each once."""
    return list(dict.fromkeys(r.header.attack.name for records in selection.defenses.values() for r in records))


def lacking_attacks(attacks: Sequence[str], records: Sequence[Record]) -> tuple[str, ...]:
    """Those of `attacks` that apply to a defense and are not among its records: without them its worst case does
    not compare with that of others.
    """
    found = {record.header.attack.name for record in records}
    return tuple(attack for attack in attacks if attack not in found and _applies(attack, records[0]))


def _doubts(verdicts: dict[str, Trust]) -> Iterator[str]:
    """Why worst cases are not to be trusted; defenses with the same reasons share a sentence."""
    said: dict[str, list[str]] = {}
    for name, found in verdicts.items():
        if not found.measured:
            said.setdefault("no diagnostics: the records were made before there were any; run them again.", []).append(
                name
            )
        elif found.findings:
            said.setdefault(found.sentence(), []).append(name)
    return (f"{', '.join(names)}: {sentence}" for sentence, names in said.items())


def _gaps(lacking: dict[tuple[str, ...], list[str]]) -> Iterator[str]:
    """How to fill the empty cells."""
    if lacking:
        yield f"{INCOMPLETE.strip()} Attacks are missing that others have: its worst case does not compare with theirs."
    for missing, names in lacking.items():
        models = " ".join(f"--model {name}" for name in names)
        attacks = " ".join(f"--attack {attack}" for attack in missing)
        yield f"To fill the empty cells: `robench eval {models} {attacks}`."


def _particulars(selection: Selection) -> Iterator[str]:
    """What a reader of the numbers must know."""
    for name, records in selection.defenses.items():
        void = [r.header.attack.name for r in records if r.header.invalid]
        if void:
            yield f"{name}: the judge found faults in {', '.join(void)}; see the records."
    everything = [record.header.attack for records in selection.defenses.values() for record in records]
    last = sorted({attack.name for attack in everything if attack.success == "last"})
    if last:
        yield f"Only the last iterate counts for {', '.join(last)}."
    if selection.left_out:
        what = "weights, attacks, examples, threat models, seeds or precisions"
        yield f"Left out: {selection.left_out} record{'s' * (selection.left_out > 1)} of other {what}."
    if selection.unshown:
        yield f"{selection.unshown} more defenses have records; name their cards with --model."


def _applies(attack: str, record: Record) -> bool:
    """An attack that normalises features is another one only where the network does not do it itself; substitutes
    and budgets are a choice.
    """
    if base_name(attack) != attack:
        return False
    head: dict[str, object] = record.header.identity["model"].get("head", {})
    return not (attack.startswith("fn-") and head.get("kind") == "he" and bool(head.get("fn")))


def cell(value: float, interval: tuple[float, float] | None = None) -> str:
    """A percentage, with its interval."""
    return f"{value:.2f}" if interval is None else Estimate(value, interval)


def threats(selection: Selection) -> str:
    """Defenses that share dataset, threat model and size are named together."""
    shared: dict[str, list[str]] = {}
    for name, records in selection.defenses.items():
        header = records[0].header
        searched = "" if header.precision == "fp32" else f", searched in {header.precision}"
        shared.setdefault(
            f"{header.dataset}, {header.threat}, {header.n} examples, seed {header.seed}{searched}", []
        ).append(name)
    if len(shared) == 1:
        return f"{next(iter(shared))}."
    return " ".join(f"{what}: {', '.join(names)}." for what, names in shared.items())
