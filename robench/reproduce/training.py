"""What changes in training: scale and margin (appendix, Table 1), fewer steps (Fig. 2)."""

from pathlib import Path

from robench.report import Table
from robench.reproduce.workshop import PAPER, Product, Workshop, published

STEPS = range(1, 8)


def scale_margin(shop: Workshop) -> list[Product]:
    """Appendix Table 1: TRADES+HE at other scales and margins."""
    attacks = ["pgd-20", "scaled-pgd-100", "adaptive-pgd-100"]
    table = Table(
        "Scale and margin of TRADES+HE (appendix, Table 1)",
        "scale, margin",
        ["clean", "clean (paper)", "pgd-20", "pgd-20 (paper)", *attacks[1:], "worst case"],
        [shop.setting(), PAPER],
    )
    declared = shop.card("trades_he")
    for row in published("appendix_table1_scale_margin"):
        scale, margin = float(row["scale"]), float(row["margin"])
        card = declared
        if (scale, margin) != (declared.head.scale, declared.head.margin):
            changes = {"head.scale": scale, "head.margin": margin}
            card = shop.derived("trades_he", f"trades_he-s{scale:g}-m{margin:g}", changes)
        evaluation = shop.evaluate(card, attacks)
        table.add(
            f"s = {scale:g}, m = {margin:g}",
            {
                "clean": f"{evaluation['pgd-20'].clean_accuracy:.2f}",
                "clean (paper)": row["clean"],
                "pgd-20 (paper)": row["pgd-20"],
                **{attack: f"{evaluation[attack].robust_accuracy:.2f}" for attack in attacks},
                "worst case": f"{evaluation.worst_case.robust_accuracy:.2f}",
            },
        )
    return [Product("scale-margin", table)]


def fewer_steps(shop: Workshop) -> list[Product]:
    """Fig. 2, left: PGD-1 to PGD-7 in training, PGD-20 at test."""
    attacks = ["pgd-20", "scaled-pgd-100", "adaptive-pgd-100"]
    curves: dict[str, list[float]] = {}
    worst: dict[str, list[float]] = {}
    for name in ("pgdat", "pgdat_he"):
        cards = [shop.derived(name, f"{name}-steps{steps}", {"recipe.steps": steps}) for steps in STEPS]
        evaluations = [shop.evaluate(card, attacks) for card in cards]
        curves[name] = [evaluation["pgd-20"].robust_accuracy for evaluation in evaluations]
        worst[name] = [evaluation.worst_case.robust_accuracy for evaluation in evaluations]
    paper = {row["training"]: row["accuracy"] for row in published("fig2_fewer_steps")}
    table = Table(
        "Fewer steps in training (Fig. 2, left): accuracy (%) under PGD-20 and in the worst case",
        "training steps",
        [f"{name} {kind}" for name in curves for kind in ("pgd-20", "pgd-20 (paper)", "worst case")],
        [shop.setting(), PAPER, "Published values are read off the figure.",
         "Worst case of pgd-20, scaled-pgd-100 and adaptive-pgd-100."],
    )  # fmt: skip
    for at, steps in enumerate(STEPS):
        cells = {}
        for name in curves:
            cells[f"{name} pgd-20"] = f"{curves[name][at]:.2f}"
            cells[f"{name} worst case"] = f"{worst[name][at]:.2f}"
            if f"{name}, {steps} training steps" in paper:
                cells[f"{name} pgd-20 (paper)"] = paper[f"{name}, {steps} training steps"]
        table.add(str(steps), cells)

    def draw(path: Path) -> None:
        from robench.reproduce.figures import lines

        drawn = {f"{name}, pgd-20": values for name, values in curves.items()}
        drawn.update({f"{name}, worst case": values for name, values in worst.items()})
        lines(path, list(STEPS), drawn, "PGD steps in training", f"robust accuracy (%) on {shop.dataset}")

    return [Product("fig2", table, draw)]
