"""Curves of accuracy against steps, queries and eps, as points that a page can draw."""

from collections.abc import Iterable, Sequence
from typing import Any

from robench.report.queries import budget, longest, step_function
from robench.store import Column, Record

Points = list[list[float]]
"""Points of a curve: pairs of x and robust accuracy in percent."""


def curves(records: Sequence[Record], every: Iterable[Record]) -> dict[str, list[dict[str, Any]]]:
    """Return three lists of curves of one defense, each curve with the name of its attack.

    Args:
        records: the records that the page shows.
        every: all records of the current weights, at any eps.
    """
    return {"steps": _against_steps(records), "queries": _against_queries(records), "eps": _against_eps(records, every)}


def _against_steps(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the curves of gradient attacks with several steps; in each family only the attack with the most."""
    kept: dict[str, Record] = {}
    for record in records:
        attack = record.header.attack
        readable = record.header.has_curve and attack.is_prefix_closed and attack.steps > 1
        if readable and attack.access == "gradient":
            family = record.header.family
            kept[family] = max(kept.get(family, record), record, key=lambda each: each.header.attack.steps)
    return [_curve(record, record.step, record.header.attack.steps) for record in kept.values()]


def _against_queries(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return the curves of attacks that see scores or decisions only; in each family only the longest."""
    return [_curve(record, record.queries, budget(record)) for record in longest(records) if record.queries is not None]


def _curve(record: Record, first: Column, end: int | None) -> dict[str, Any]:
    """Return the curve of an attack from x = 0 to `end`; `first` holds the x at which each example was first broken."""
    places, accuracy = step_function(record, first)
    points: Points = [[x, round(y, 4)] for x, y in zip(places.tolist(), accuracy.tolist(), strict=True)]
    if end is not None and points[-1][0] < end:
        points.append([end, points[-1][1]])
    return {"attack": record.header.attack.name, "points": points}


def _against_eps(records: Sequence[Record], every: Iterable[Record]) -> list[dict[str, Any]]:
    """Return the curves of attacks that were run at several eps, with the rest of the comparison key of `records`."""
    shown = records[0].comparison_key
    found: dict[str, dict[float, Record]] = {}
    for record in every:
        if record.comparison_key._replace(eps=shown.eps) == shown:
            found.setdefault(record.header.attack.name, {})[record.comparison_key.eps] = record
    return [
        {
            "attack": name,
            "points": [
                [0, round(records[0].clean_accuracy, 4)],
                *([eps, round(at[eps].robust_accuracy, 4)] for eps in sorted(at)),
            ],
            "written": ["0", *(at[eps].header.threat.text for eps in sorted(at))],
        }
        for name, at in found.items()
        if len(at) > 1
    ]
