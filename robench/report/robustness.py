"""The table of defenses and attacks, worst case first."""

from robench.report.selection import Selection
from robench.report.table import Table
from robench.report.worst_case import worst_case
from robench.store import Record

CLEAN, WORST, TRUST = "clean", "worst case", "trust"


def robustness(selection: Selection) -> Table:
    """Accuracy in percent with Wilson's 95% interval, one row a defense, one column an attack."""
    attacks = list(dict.fromkeys(r.header.attack.name for records in selection.defenses.values() for r in records))
    table = Table(
        title="Robust accuracy (%), 95% Wilson interval",
        corner="defense",
        columns=[WORST, TRUST, CLEAN, *attacks],
        notes=[
            threats(selection),
            "Worst case: an example counts only if it withstands every attack shown.",
        ],
    )
    for name, records in selection.defenses.items():
        cells = {record.header.attack.name: (record.robust_accuracy, record.interval) for record in records}
        worst = worst_case(records)
        clean = records[0]
        row = {
            WORST: cell(worst.robust_accuracy, worst.interval),
            TRUST: worst.trust.level,
            CLEAN: cell(clean.clean_accuracy),
        }
        row.update({attack: cell(*found) for attack, found in cells.items()})
        table.add(name, row)
        if worst.trust.findings:
            table.notes.append(f"{name}, {worst.trust.sentence()}")
        missing = [attack for attack in attacks if attack not in cells and _applies(attack, records[0])]
        if missing:
            command = " ".join(f"--attack {attack}" for attack in missing)
            table.notes.append(f"{name}: fill the empty cells with `robench eval --model {name} {command}`.")
        void = [r.header.attack.name for r in records if r.header.invalid]
        if void:
            table.notes.append(f"{name}: the judge found faults in {', '.join(void)}; see the records.")
    last = sorted(
        {r.header.attack.name for rs in selection.defenses.values() for r in rs if r.header.attack.success == "last"}
    )
    if last:
        table.notes.append(f"Only the last iterate counts for {', '.join(last)}.")
    if selection.left_out:
        table.notes.append(
            f"Left out: {selection.left_out} records of other weights, examples, threat models, seeds or precisions."
        )
    if selection.unshown:
        table.notes.append(f"{selection.unshown} more defenses have records; name their cards with --model.")
    return table


def _applies(attack: str, record: Record) -> bool:
    """An attack that normalises features is another one only where the network does not do it itself."""
    head: dict[str, object] = record.header.identity["model"].get("head", {})
    return not (attack.startswith("fn-") and head.get("kind") == "he" and bool(head.get("fn")))


def cell(value: float, interval: tuple[float, float] | None = None) -> str:
    """A percentage, with its interval."""
    return f"{value:.2f}" if interval is None else f"{value:.2f} [{interval[0]:.1f}, {interval[1]:.1f}]"


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
