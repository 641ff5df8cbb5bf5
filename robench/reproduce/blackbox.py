"""Attacks that see outputs only: accuracy against queries (Table 8), RayS beside AutoAttack (Table 6)."""

from functools import partial

import numpy as np

from robench.report import Selection, Table, accuracy_after, budget, curve, queries
from robench.reproduce.defenses import beside
from robench.reproduce.figures import Curve, falls
from robench.reproduce.workshop import Product, Workshop, published
from robench.store import Record

BASES = ("pgdat", "alp", "trades")
ITERATIONS = ("zoo", "nes-20", "nes-50", "nes-80", "spsa-20", "spsa-50", "spsa-80")
BENCHMARKS = ("rays", "autoattack")
BENCHMARKED = ("pgdat", "pgdat_he", "trades", "trades_he")
ASKING = ("square", "nes-80", "spsa-80", "zoo", "rays")
"""The longest of each family."""
KINDS = ("without HE", "with HE")
GRID = [digit * 10**power for power in range(5) for digit in (1, 2, 3, 5, 7)]
"""Numbers of queries at which curves are written down."""


def table8(shop: Workshop) -> list[Product]:
    """Table 8: ZOO, NES and SPSA, and how the accuracy falls with the queries, Square and RayS included."""
    defenses = [name for base in BASES for name in (base, f"{base}_he")]
    paper = {row.pop("defense"): row for row in published("table8_blackbox_cifar10")}
    accuracies = beside(shop, "table8", "Black-box attacks (Table 8)", defenses, ITERATIONS, paper)
    accuracies.table.notes.append(
        "128 directions an iteration and 20,000 queries for ZOO, as in the paper; the step of NES and SPSA, which it "
        "does not state, is the white-box one, 3/31 of eps."
    )
    records = {name: _records(shop, name) for name in defenses}
    asked = queries(Selection({shop.card(name).name: list(found.values()) for name, found in records.items()}, 0))
    panels = {
        base: {attack: [_drawn(records[name][attack]) for name in (base, f"{base}_he")] for attack in ASKING}
        for base in BASES
    }
    draw = partial(
        falls, panels=panels, kinds=KINDS, x_label="queries", y_label=f"robust accuracy (%) on {shop.dataset}"
    )
    return [accuracies, Product("blackbox-queries", asked, draw), _curves(shop, records)]


def table6(shop: Workshop) -> list[Product]:
    """Table 6: RayS and AutoAttack; the paper has PGD-AT with HE only, on two networks."""
    rows = published("table6_benchmark_attacks")
    smaller, larger = ({key: row[key] for key in ("clean", *BENCHMARKS)} for row in rows)
    source = (
        "Paper: cifar10, WRN-34-10, linf 8/255, RayS on 1,000 examples; WRN-34-20 has "
        f"{larger['clean']} clean, {larger['rays']} under RayS, {larger['autoattack']} under AutoAttack."
    )
    paper = {rows[0]["defense"]: smaller}
    return [beside(shop, "table6", "RayS and AutoAttack (Table 6)", BENCHMARKED, BENCHMARKS, paper, source)]


def _records(shop: Workshop, name: str) -> dict[str, Record]:
    evaluation = shop.evaluate(shop.card(name), ASKING)
    return {attack: evaluation[attack].result.record for attack in ASKING}


def _drawn(record: Record) -> Curve:
    """The curve from one query on, up to the attack's budget."""
    asked, accuracy = curve(record)
    end = max(budget(record) or 0, asked[-1])
    return [*np.maximum(asked, 1).tolist(), int(end)], [*accuracy.tolist(), float(accuracy[-1])]


def _curves(shop: Workshop, records: dict[str, dict[str, Record]]) -> Product:
    """The curves as numbers, one row a number of queries."""
    columns = {f"{name} {attack}": record for name, found in records.items() for attack, record in found.items()}
    table = Table(
        "Robust accuracy (%) after so many queries of an example",
        "queries",
        list(columns),
        [shop.setting(), "Beyond an attack's budget cells stay empty."],
    )
    for asked in GRID:
        cells = {c: f"{accuracy_after(r, asked):.2f}" for c, r in columns.items() if asked <= (budget(r) or asked)}
        if cells:
            table.add(str(asked), cells)
    return Product("blackbox-curves", table)
