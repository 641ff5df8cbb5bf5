"""Accuracy under corruptions as grids of corruptions and severities, one per kind and origin of the images."""

from collections.abc import Iterable
from typing import Any

from robench.report.sweeps import Sweep
from robench.specs.corruption import SEVERITIES


def grids(swept: Iterable[Sweep], dataset: str) -> list[dict[str, Any]]:
    """Return one grid for the generated, the published and the 3D images of a dataset, as far as they are stored."""
    return [_grid(sweep) for sweep in swept if sweep.kind != "spatial" and sweep.head.dataset == dataset]


def _grid(sweep: Sweep) -> dict[str, Any]:
    head = sweep.head
    return {
        "origin": f"{head.origin} 3D" if sweep.kind == "3d" else head.origin,
        "rule": head.rule,
        "seed": head.seed,
        "n": head.n,
        "clean": rounded(sweep.clean),
        "mean": rounded(sweep.mca),
        "error": rounded(sweep.mean_error),
        "rows": [
            {
                "name": name,
                "mean": rounded(sweep.means.get(name)),
                "cells": [
                    round(sweep.cells[name, severity].accuracy, 4) if (name, severity) in sweep.cells else None
                    for severity in SEVERITIES
                ],
            }
            for name in sweep.names
        ],
    }


def rounded(value: float | None) -> float | None:
    """Round a percentage to the four digits that the page keeps."""
    return None if value is None else round(value, 4)
