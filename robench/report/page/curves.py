"""Accuracy against steps, queries and eps, as points that a page can draw."""

from collections.abc import Iterable, Sequence
from typing import Any

from robench.report.queries import budget, longest, step_function
from robench.store import Column, Record

Points = list[list[float]]
"""Pairs of x and robust accuracy in percent."""


def curves(records: Sequence[Record], every: Iterable[Record]) -> dict[str, list[dict[str, Any]]]:
    """Three lists of curves of one defense, each curve with its attack's name.

    Args:
        records: those that are shown.
        every: all of its current weights, at any eps.
    """
    return {"steps": _against_steps(records), "queries": _against_queries(records), "eps": _against_eps(records, every)}


def _against_steps(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Gradient attacks of several steps; of each family that with the most, the others are its beginnings."""
    kept: dict[str, Record] = {}
    for record in records:
        attack = record.header.attack
        readable = record.header.has_curve and attack.is_prefix_closed and attack.steps > 1
        if readable and attack.access == "gradient":
            family = record.header.family
            kept[family] = max(kept.get(family, record), record, key=lambda each: each.header.attack.steps)
    return [_curve(record, record.step, record.header.attack.steps) for record in kept.values()]


def _against_queries(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Attacks that see scores or decisions only and kept what they asked, the longest of each family."""
    return [_curve(record, record.queries, budget(record)) for record in longest(records) if record.queries is not None]


def _curve(record: Record, first: Column, end: int | None) -> dict[str, Any]:
    """A step function from the x at which each example was first broken; the first point is at 0, the last at `end`."""
    places, accuracy = step_function(record, first)
    points: Points = [[x, round(y, 4)] for x, y in zip(places.tolist(), accuracy.tolist(), strict=True)]
    if end is not None and points[-1][0] < end:
        points.append([end, points[-1][1]])
    return {"attack": record.header.attack.name, "points": points}


def _against_eps(records: Sequence[Record], every: Iterable[Record]) -> list[dict[str, Any]]:
    """Attacks that were run at several eps of one norm, on the same examples with the same seed and precision."""
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
