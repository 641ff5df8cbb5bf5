"""Accuracy against queries of attacks that see scores or decisions only, from stored first successes."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from robench.report.robustness import cell, threats
from robench.report.selection import Selection
from robench.report.table import Table
from robench.specs import COUNTED
from robench.store import Column, Record

AFTER = (100, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
"""The numbers of queries that have a column in the table."""
ROBUST, SUCCESSES, MEAN, MEDIAN, BUDGET = "robust accuracy", "successes", "mean queries", "median queries", "budget"


def queries(selection: Selection) -> Table:
    """Robust accuracy, queries per success and accuracy after some queries, one row per defense and attack."""
    shown = {name: kept for name, records in selection.defenses.items() if (kept := longest(records))}
    table = Table(
        title="Black-box attacks: robust accuracy (%), and the queries of an example up to its first success",
        corner="defense, attack",
        columns=[ROBUST, SUCCESSES, MEAN, MEDIAN, BUDGET, *(f"after {asked}" for asked in AFTER)],
    )
    if not shown:
        table.notes = [
            "No records of attacks that see scores or decisions only: "
            "run `robench eval --model NAME --battery blackbox` first."
        ]
        return table
    for name, records in shown.items():
        for record in records:
            table.add(f"{name} {record.header.attack.name}", _cells(record))
    table.notes = [
        threats(replace(selection, defenses=shown)),
        "Mean and median over successes. An example counts as broken after q queries if its first success needed at "
        "most q; beyond an attack's budget cells stay empty.",
        *_particulars(selection, shown),
    ]
    return table


def _particulars(selection: Selection, shown: dict[str, list[Record]]) -> Iterator[str]:
    """Yield notes on attacks that have no row, and on rows whose queries are unknown."""
    everything = [record for records in selection.defenses.values() for record in filter(_counted, records)]
    kept = [(f"{name} {record.header.attack.name}", record) for name, records in shown.items() for record in records]
    longer = {record.header.hash for _, record in kept}
    short = dict.fromkeys(r.header.attack.name for r in everything if r.header.hash not in longer)
    if short:
        yield f"Not shown, the beginnings of longer runs: {', '.join(short)}."
    old = [row for row, record in kept if record.queries is None]
    if old:
        yield f"Published before queries were kept: {', '.join(old)}."


def longest(records: Iterable[Record]) -> list[Record]:
    """Return the black-box attacks with the most steps in each family; the others are beginnings of these runs."""
    kept: dict[str, Record] = {}
    for record in filter(_counted, records):
        family = record.header.family if record.header.has_curve else record.header.hash
        kept[family] = max(kept.get(family, record), record, key=lambda each: each.header.attack.steps)
    return list(kept.values())


def curve(record: Record) -> tuple[Column, Column]:
    """Return the numbers of queries (K,) at which robust accuracy falls, and the accuracy in percent from there (K,).

    The first number is 0, with the clean accuracy; at the others, examples were first broken.

    Raises:
        ValueError: the record does not keep the number of queries.
    """
    if record.queries is None:
        raise ValueError(f"the record of '{record.header.attack.name}' on {record.header.model} keeps no queries")
    return step_function(record, record.queries)


def step_function(record: Record, first: Column) -> tuple[Column, Column]:
    """Return the places (K,) at which robust accuracy falls, and the accuracy in percent from each place on (K,).

    Args:
        record: the verdicts.
        first: steps or queries up to the first success of each example, (N,); read where an example was broken.
    """
    places, broken = np.unique(first[record.clean & ~record.robust], return_counts=True)
    standing = np.count_nonzero(record.clean) - np.concatenate([[0], np.cumsum(broken)])
    return np.concatenate([[0], places]), 100.0 * standing / len(record.clean)


def accuracy_after(record: Record, asked: int) -> float:
    """Return the robust accuracy in percent had the attack stopped after `asked` queries of each example."""
    steps, accuracy = curve(record)
    return float(accuracy[np.searchsorted(steps, asked, side="right") - 1])


def budget(record: Record) -> int | None:
    """Return the queries of one example that the attack's stanza allows; None if the algorithm is unknown here."""
    attack = record.header.attack
    match attack.algorithm:
        case "square":
            asked = attack.steps + 1
        case "control":
            asked = attack.steps + (attack.steps > record.header.identity["attack"]["params"]["first"])
        case "antithetic":
            directions: int = record.header.identity["attack"]["params"]["directions"]
            asked = attack.steps * (1 + 2 * directions) + 1
        case "zoo":
            asked = 2 * attack.steps
        case "rays":
            asked = attack.steps
        case _:
            return None
    return attack.restarts * asked


def _counted(record: Record) -> bool:
    return record.header.attack.access in COUNTED


def _cells(record: Record) -> dict[str, str]:
    broken, limit = record.clean & ~record.robust, budget(record)
    cells = {ROBUST: cell(record.robust_accuracy, record.interval), SUCCESSES: str(np.count_nonzero(broken))}
    if limit is not None:
        cells[BUDGET] = str(limit)
    if record.queries is not None:
        asked = record.queries[broken]
        if len(asked):
            cells |= {MEAN: f"{asked.mean():.1f}", MEDIAN: f"{np.median(asked):.1f}"}
        end = limit or max(asked, default=0)
        cells |= {f"after {each}": f"{accuracy_after(record, each):.2f}" for each in AFTER if each <= end}
    return cells
