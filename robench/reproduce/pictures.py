"""Draw the pictures of the paper's figures from stored verdicts."""

import csv
from pathlib import Path

import numpy as np

from robench.paths import results_folders
from robench.report.corruptions import names_of
from robench.report.paper import PAPER_TABLES, VerdictSource, View
from robench.report.paper.blackbox import ASKING
from robench.report.paper.corruptions import difference, pairs
from robench.report.paper.gradients import measured
from robench.report.paper.seeds import BASES
from robench.report.paper.training import STEPS, values_of
from robench.report.paper.transfer import matrix
from robench.report.paper.view import accuracy
from robench.report.queries import budget, curve
from robench.report.robustness import WORST
from robench.report.table import number
from robench.reproduce.figures import Curve, bars, falls, heat, lines
from robench.specs.corruption import SEVERITIES
from robench.store import Record

KINDS = ("without HE", "with HE")


def transfer(source: VerdictSource, path: Path) -> None:
    """Draw our transfer matrix and the published one as heat maps."""
    paper = matrix()
    table = PAPER_TABLES["transfer"](source, View())
    targets, names = table.columns, list(table.rows)
    panels = {
        source.dataset: [[number(row[target]) or 0.0 for target in targets] for row in table.rows.values()],
        "paper": [[float(row[target]) for target in targets] for row in paper.values()],
    }
    white = {(i, j) for i, (s, _) in enumerate(paper) for j, target in enumerate(targets) if s == target}
    heat(path, panels=panels, rows=names, columns=targets, starred=white)


def queries(source: VerdictSource, path: Path) -> None:
    """Draw accuracy against queries, one panel per framework."""
    panels = {
        base: {
            attack: [_drawn(record) for name in (base, f"{base}_he") if (record := source.record(name, attack))]
            for attack in ASKING
        }
        for base in BASES
    }
    falls(path, panels, KINDS, "queries", f"robust accuracy (%) on {source.dataset}")


def corruption_differences(source: VerdictSource, path: Path) -> None:
    """Draw the differences HE minus base, one cell per corruption and severity."""
    found = pairs(source)
    names = names_of({f"{base}{'_he' * at}": sweep for base, pair in found.items() for at, sweep in enumerate(pair)})
    panels = {
        f"{base}: HE minus base": [[difference(pair, name, s) or 0.0 for s in SEVERITIES] for name in names]
        for base, pair in found.items()
    }
    head = next(iter(found.values()))[0].head
    label = f"points ({head.dataset}, {head.origin}, {head.n} examples)"
    heat(path, panels, names, list(map(str, SEVERITIES)), label=label, x_label="severity", around_zero=True)


def fewer_steps(source: VerdictSource, path: Path) -> None:
    """Draw robust accuracy over the PGD steps in training."""
    drawn = {
        f"{name}, {kind}": [accuracy(values_of(source, f"{name}-steps{steps}")[kind]) for steps in STEPS]
        for kind in ("pgd-20", WORST)
        for name in ("pgdat", "pgdat_he")
    }
    lines(path, list(STEPS), drawn, "PGD steps in training", f"robust accuracy (%) on {source.dataset}")


def hard_examples(source: VerdictSource, path: Path) -> None:
    """Draw the median ratios of gradient norms for the groups of parameters that both networks have."""
    with measured(results_folders(source.results)[-1], source.dataset).open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        found.setdefault(row["defense"], {})[row["parameters"]] = float(row["median"])
    shared = [group for group in next(iter(found.values())) if all(group in mine for mine in found.values())]
    series = {name: [mine[group] for group in shared] for name, mine in found.items()}
    bars(path, shared, series, "median gradient-norm ratio")


def _drawn(record: Record) -> Curve:
    """Return the curve of a record from one query to the attack's budget."""
    asked, robust = curve(record)
    end = max(budget(record) or 0, asked[-1])
    return [*np.maximum(asked, 1).tolist(), int(end)], [*robust.tolist(), float(robust[-1])]
