"""Appendix Fig. 1: examples crafted on three defenses, shown to six."""

from functools import partial

from robench.report import Evaluation, Table
from robench.reproduce.figures import heat
from robench.reproduce.workshop import PAPER, Product, Workshop, published

ATTACKS = ("pgd-20", "mim-20")
WHITE = "*"
"""Marks what is crafted on the target itself."""


def transfer(shop: Workshop) -> list[Product]:
    """The matrix of substitutes and targets, ours and the published one, as a table and a heat map."""
    paper = {(row["substitute"], row["attack"]): row for row in published("appendix_fig1_transfer")}
    targets = [column for column in next(iter(paper.values())) if column not in ("substitute", "attack")]
    substitutes = list(dict.fromkeys(substitute for substitute, _ in paper))
    crafting = [shop.card(name) for name in substitutes]
    attacks = [f"transfer-{attack}" for attack in ATTACKS]
    ours = {target: shop.evaluate(shop.card(target), attacks, crafting) for target in targets}
    table = Table(
        "Transfer (appendix, Fig. 1): robust accuracy (%)",
        "crafted on, with",
        [column for target in targets for column in (target, f"{target} (paper)")],
        [shop.setting(), PAPER, f"{WHITE} The substitute is the target itself: white-box, but the last iterate only."],
    )
    rows = [(substitute, attack) for substitute in substitutes for attack in ATTACKS]
    for substitute, attack in rows:
        cells = {}
        for target in targets:
            star = WHITE if substitute == target else ""
            cells[target] = f"{_accuracy(ours[target], attack, substitute):.2f}{star}"
            cells[f"{target} (paper)"] = f"{paper[substitute, attack][target]}{star}"
        table.add(f"{substitute}, {attack}", cells)
    names = [", ".join(row) for row in rows]
    panels = {
        shop.dataset: [[_accuracy(ours[t], attack, s) for t in targets] for s, attack in rows],
        "paper": [[float(paper[row][t]) for t in targets] for row in rows],
    }
    white = {(i, j) for i, (s, _) in enumerate(rows) for j, target in enumerate(targets) if s == target}
    return [Product("transfer", table, partial(heat, panels=panels, rows=names, columns=targets, starred=white))]


def _accuracy(evaluation: Evaluation, attack: str, substitute: str) -> float:
    return evaluation[f"transfer-{attack}-from-{substitute}"].robust_accuracy
