"""The groups of records that compare with each other: a table, a rank and a plot show one group at a time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from robench.report.robustness import setting
from robench.report.selection import CurrentCatalogue, Selection, in_order, latest_per_key, of_current_weights
from robench.specs import NORMS, catalogue_order
from robench.store import SHORT, ComparisonKey, Record

STALE = "weights or attacks"
"""The ways in which records that no group shows differ from today's."""


def groups(records: Iterable[Record], models: list[str] | None = None) -> list[Selection]:
    """Return one selection per group of records that compare with each other, in the order of their settings.

    All records of a group share dataset, examples, threat model, mask, target, seed and precision. The form of the
    network in the search is not among these: one command gives `fused` for networks with batch norm and `plain` for
    others, which must compare; every success is judged on the network as it is, and a table of several forms says so. A
    record is left out only if it is of other weights than its card's, or of an attack that is declared otherwise now;
    the last group counts them.

    Args:
        records: records of any defenses.
        models: the names of the defenses; by default the registered ones or, if none has records, all.
    """
    records = list(records)
    catalogue = CurrentCatalogue()
    found: dict[ComparisonKey, dict[str, dict[str, list[Record]]]] = {}
    for name, mine in of_current_weights(records, models).items():
        for record in in_order(each for each in latest_per_key(mine) if each in catalogue):
            networks = found.setdefault(record.comparison_key, {}).setdefault(name, {})
            networks.setdefault(record.model_identity, []).append(record)
    made = []
    for key in sorted(found, key=lambda key: _place(key, found[key])):
        chosen = {name: max(networks.values(), key=len) for name, networks in found[key].items()}
        ordered = {name: chosen[name] for name in sorted(chosen, key=catalogue_order)}
        made.append(Selection(ordered, 0, reasons=STALE))
    if not made:
        return []
    names = {name for group in made for name in group.defenses}
    shown = sum(len(mine) for group in made for mine in group.defenses.values())
    left_out = sum(record.header.model in names for record in records) - shown
    others = {record.header.model for record in records} - names if models is None else set()
    made[-1] = replace(made[-1], left_out=left_out, unshown=len(others))
    if len(made) == 1:
        return made
    return [replace(group, heading=said) for group, said in zip(made, headings(made), strict=True)]


def headings(selections: Iterable[Selection]) -> list[str]:
    """Return a heading per group; groups on different examples with the same words also name their examples."""
    heads = [next(iter(each.defenses.values()))[0] for each in selections]
    said = [setting(record.header) for record in heads]
    times = Counter(said)
    return [
        f"{text}, examples {record.comparison_key.data[:SHORT]}" if times[text] > 1 else text
        for text, record in zip(said, heads, strict=True)
    ]


def _place(key: ComparisonKey, networks: dict[str, dict[str, list[Record]]]) -> tuple[Any, ...]:
    """Return the sort key of a group: dataset, norm, eps, no target, no mask, most examples, full precision, seed."""
    header = next(record for found in networks.values() for mine in found.values() for record in mine).header
    aimed = bool(key.target), bool(key.mask)
    settings = NORMS.index(header.threat.norm), key.eps, *aimed, -header.n, key.precision != "fp32"
    return header.dataset, *settings, key.precision, key.seed, key.mask, key.data, key.target
