"""Accuracy under common corruptions as a grid of corruptions and severities, generated and published apart."""

from collections.abc import Iterable
from typing import Any

from robench.report.sweeps import Sweep, common
from robench.specs import digest
from robench.specs.corruption import SEVERITIES
from robench.store import Header


def grids(swept: Iterable[Sweep], dataset: str) -> list[dict[str, Any]]:
    """One grid for the generated and one for the published images of a dataset."""
    return [_grid(sweep) for sweep in swept if sweep.kind == "common" and sweep.head.dataset == dataset]


def mca(swept: Iterable[Sweep], header: Header) -> float | None:
    """The mean over all corruptions of the very examples that were attacked; None where it is not there."""
    data = digest(header.identity["data"])
    found = common({"it": [sweep for sweep in swept if digest(sweep.head.identity["data"]) == data]})
    return _rounded(found["it"].mca) if found else None


def _grid(sweep: Sweep) -> dict[str, Any]:
    head = sweep.head
    return {
        "origin": head.origin,
        "rule": head.rule,
        "seed": head.seed,
        "n": head.n,
        "clean": _rounded(sweep.clean),
        "mean": _rounded(sweep.mca),
        "error": _rounded(sweep.mean_error),
        "rows": [
            {
                "name": name,
                "mean": _rounded(sweep.means.get(name)),
                "cells": [
                    round(sweep.cells[name, severity].accuracy, 4) if (name, severity) in sweep.cells else None
                    for severity in SEVERITIES
                ],
            }
            for name in sweep.names
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
