"""Accuracy under common corruptions as a grid of corruptions and severities, generated and published apart."""

from collections.abc import Iterable
from typing import Any

from robench.report.corruptions import CLEAN, MCA, SPATIAL, by_cell, corruptions, mean_error, mean_row
from robench.store.corrupted import Corrupted

SEVERITIES = range(1, 6)


def grids(lines: Iterable[Corrupted], dataset: str) -> list[dict[str, Any]]:
    """One grid for the generated and one for the published images of a dataset."""
    mine = [line for line in lines if line.dataset == dataset and line.corruption != SPATIAL]
    origins = sorted({line.origin for line in mine if line.severity})
    return [_grid([line for line in mine if line.origin == origin]) for origin in origins]


def _grid(lines: list[Corrupted]) -> dict[str, Any]:
    cells, first = by_cell(lines), lines[0]
    means, error = mean_row(cells), mean_error(cells)
    return {
        "origin": first.origin,
        "rule": first.rule,
        "seed": first.seed,
        "n": first.n,
        "clean": round(cells[CLEAN, 0].accuracy, 4) if (CLEAN, 0) in cells else None,
        "mean": round(means[MCA], 4),
        "error": None if error is None else round(error, 4),
        "rows": [
            {
                "name": name,
                "mean": round(means[name], 4),
                "cells": [
                    round(cells[name, severity].accuracy, 4) if (name, severity) in cells else None
                    for severity in SEVERITIES
                ],
            }
            for name in corruptions(lines)
        ],
    }
