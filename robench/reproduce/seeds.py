"""The six main defenses with three seeds, and whether HE helps: means, deviations, paired tests."""

from functools import reduce
from statistics import mean, stdev

import numpy as np

from robench.report import Evaluation, Table
from robench.report.table import p_text
from robench.reproduce.workshop import Product, Workshop
from robench.stats import mcnemar
from robench.store import Column

MAIN = ("pgdat", "alp", "trades")
SEEDS = (0, 1, 2)
ATTACKS = ("pgd-20", "cw-linf-20", "pgd-100", "scaled-pgd-100", "adaptive-pgd-100", "cascade")


def seeds(shop: Workshop) -> list[Product]:
    """Mean and standard deviation over three training seeds, then HE against its base, paired by example."""
    verdicts = {name: [_verdicts(shop, name, seed) for seed in SEEDS] for base in MAIN for name in (base, f"{base}_he")}
    return [_means(shop, verdicts), _paired(shop, verdicts)]


def _verdicts(shop: Workshop, name: str, seed: int) -> Evaluation:
    card = shop.card(name)
    if seed != card.recipe.seed:
        card = shop.derived(name, f"{name}-seed{seed}", {"recipe.seed": seed})
    return shop.evaluate(card, ATTACKS)


def _means(shop: Workshop, verdicts: dict[str, list[Evaluation]]) -> Product:
    table = Table(
        "Three training seeds: mean ± standard deviation (%)",
        "defense",
        ["clean", "pgd-20", "worst case"],
        [shop.setting(), f"Worst case of {', '.join(ATTACKS)}. Training seeds {', '.join(map(str, SEEDS))}."],
    )
    for name, evaluations in verdicts.items():
        values = {
            "clean": [e["pgd-20"].clean_accuracy for e in evaluations],
            "pgd-20": [e["pgd-20"].robust_accuracy for e in evaluations],
            "worst case": [e.worst_case.robust_accuracy for e in evaluations],
        }
        table.add(name, {column: f"{mean(v):.2f} ± {stdev(v):.2f}" for column, v in values.items()})
    return Product("seeds", table)


def _paired(shop: Workshop, verdicts: dict[str, list[Evaluation]]) -> Product:
    table = Table(
        "Does hypersphere embedding help? Paired by example (exact McNemar test)",
        "comparison",
        ["seed", "pgd-20 difference", "pgd-20 p", "worst-case difference", "worst-case p"],
        [
            shop.setting(),
            "Difference in points, HE minus base; positive means that HE helps. p is two-sided and not corrected "
            "for the number of comparisons.",
        ],
    )
    for base in MAIN:
        for seed, plain, he in zip(SEEDS, verdicts[base], verdicts[f"{base}_he"], strict=True):
            raw = _compare(_robust(plain, ("pgd-20",)), _robust(he, ("pgd-20",)))
            worst = _compare(_robust(plain, ATTACKS), _robust(he, ATTACKS))
            table.add(
                f"{base}_he against {base}, seed {seed}",
                {
                    "seed": str(seed),
                    "pgd-20 difference": f"{raw[0]:+.2f}",
                    "pgd-20 p": p_text(raw[1]),
                    "worst-case difference": f"{worst[0]:+.2f}",
                    "worst-case p": p_text(worst[1]),
                },
            )
    return Product("he-paired", table)


def _robust(evaluation: Evaluation, attacks: tuple[str, ...]) -> Column:
    robust: Column = reduce(np.logical_and, [evaluation[attack].result.record.robust for attack in attacks])
    return robust


def _compare(plain: Column, he: Column) -> tuple[float, float]:
    only_he, only_plain = int((he & ~plain).sum()), int((plain & ~he).sum())
    return 100.0 * (only_he - only_plain) / len(plain), mcnemar(only_he, only_plain)
