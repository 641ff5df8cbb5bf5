"""The numbers that RobustBench publishes for its networks, beside those measured here."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from robench.report.robustness import CLEAN, WORST
from robench.report.selection import Selection
from robench.report.table import Table
from robench.report.worst_case import worst_case
from robench.specs import CONTROL, battery_attacks
from robench.specs.robustbench import USUAL, Entry, entries, entry_in, installed_version
from robench.store import Header, Record

SOURCE = "robustbench"
"""Value of --against."""
THEIRS, DIFFERENCE = "{} (RobustBench)", "{} (difference)"
COMPARED = (WORST, CLEAN)
"""Columns that RobustBench publishes too."""
AS_STRONG = ("autoattack", "autoattack-native", "fast")
"""Batteries as strong as AutoAttack; a worst case without one of them does not compare with RobustBench's."""


def published(record: Record) -> str | None:
    """Return the full name of the RobustBench entry that a record is of; None if it is of another network."""
    found = entry_in(record.header.identity["model"])
    return found[0] if found else None


def names_of(records: Iterable[Record], full: str | None = None) -> list[str]:
    """Return the names under which records hold networks of RobustBench, or one of these networks, sorted."""
    return sorted({each.header.model for each in records if (said := published(each)) and full in (None, said)})


def beside(table: Table, selection: Selection) -> Table:
    """Add RobustBench's accuracies and the differences to the table of robustness.

    A difference is shown only if dataset, norm, eps and the preparation of images are those of RobustBench and, for
    the worst case, if attacks as strong as AutoAttack were run; for the others a note names the reason.

    Raises:
        InputError: RobustBench is not installed.
    """
    known = entries()
    notes = [
        f"RobustBench {installed_version()}: robust accuracy under AutoAttack, or under a stronger evaluation where it "
        "lists one, on 10,000 test images of CIFAR or 5,000 of ImageNet."
    ]
    rows: dict[str, Mapping[str, str]] = {}
    for name, cells in table.rows.items():
        records = selection.defenses[name]
        entry = known.get(published(records[0]) or "")
        more, reason = _compared(records, entry) if entry else ({}, "the installed RobustBench does not list it")
        rows[name] = {**cells, **more}
        notes += [f"{name}: {reason}, so a difference is left out."] if reason else []
    columns = [
        each
        for column in table.columns
        for each in ((column, THEIRS.format(column), DIFFERENCE.format(column)) if column in COMPARED else (column,))
    ]
    return replace(table, columns=columns, rows=rows, notes=[*table.notes, *notes])


def _compared(records: list[Record], entry: Entry) -> tuple[dict[str, str], str]:
    """Return the cells of a defense beside ours, and the reason if a difference is left out."""
    cells = {THEIRS.format(CLEAN): f"{entry.clean:.2f}"}
    if entry.threat_model is not None:
        cells[THEIRS.format(WORST)] = f"{entry.robust:.2f}"
    if reason := _other_images(records[0].header, entry):
        return cells, reason
    cells[DIFFERENCE.format(CLEAN)] = f"{records[0].clean_accuracy - entry.clean:+.2f}"
    if reason := _other_threat(records, entry):
        return cells, reason
    cells[DIFFERENCE.format(WORST)] = f"{worst_case(records).robust_accuracy - entry.robust:+.2f}"
    return cells, ""


def _other_images(header: Header, entry: Entry) -> str:
    """Return how the images differ from RobustBench's; empty if they do not."""
    if header.target:
        return "the attacks aimed at a class, RobustBench's do not"
    if header.mask:
        return "the attacks might change some pixels only, RobustBench's change all"
    if header.dataset != entry.dataset:
        return f"RobustBench's numbers are on {entry.dataset}, not {header.dataset}"
    _, prepared = entry_in(header.identity["model"]) or ("", "")
    if prepared not in ("", USUAL):
        return f"RobustBench's numbers are of images prepared by {prepared}, not {USUAL}"
    return ""


def _other_threat(records: list[Record], entry: Entry) -> str:
    """Return how the worst case differs in kind from RobustBench's; empty if it does not."""
    threat, theirs = records[0].header.threat, entry.threat_model
    if theirs is None:
        return "RobustBench publishes no worst case for it, only accuracy under corruptions"
    if (threat.norm, threat.eps) != (theirs.norm, theirs.eps):
        return f"RobustBench's robust accuracy is under {theirs}, not {threat}"
    run = {record.header.attack.name for record in records}
    # The control checks the other attacks; it makes them no stronger.
    strong = [{spec.name for spec in battery_attacks(name) if spec.algorithm != CONTROL} for name in AS_STRONG]
    if not any(attacks <= run for attacks in strong):
        return f"no attacks as strong as AutoAttack were run (--battery {', '.join(AS_STRONG)})"
    return ""
