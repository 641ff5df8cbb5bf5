"""Accuracy under common corruptions as a grid of corruptions and severities, generated and published apart."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from robench.paths import data_root, default_results
from robench.report.corruptions import CLEAN, MCA, by_cell, corruptions, mean_error, mean_row
from robench.specs import digest
from robench.store import Header
from robench.store.corrupted import Corrupted, read_corrupted

SEVERITIES = range(1, 6)


def load_corrupted(results: Path | None = None) -> dict[str, list[Corrupted]]:
    """Lines by model, from the same folders as the verdicts under attacks."""
    folders = [results] if results else [data_root() / "results", default_results()]
    found: dict[str, list[Corrupted]] = {}
    for folder in dict.fromkeys(folders):
        for line in read_corrupted(folder):
            found.setdefault(line.model, []).append(line)
    return found


def grids(lines: Iterable[Corrupted], header: Header) -> list[dict[str, Any]]:
    """One grid for the generated and one for the published images, of the network that `header` belongs to.

    Of several seeds or sizes the one with the most examples is shown, then the lowest seed.
    """
    groups: dict[str, dict[tuple[int, int], list[Corrupted]]] = {}
    for line in lines:
        if digest(line.identity["model"]) == header.model_identity:
            groups.setdefault(line.origin, {}).setdefault((-line.n, line.seed), []).append(line)
    return [_grid(groups[origin][min(groups[origin])]) for origin in sorted(groups)]


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
