"""What each table and figure needs, which tables show it, and how its picture is drawn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from robench.report.paper import Source, published
from robench.report.paper.blackbox import ASKING
from robench.report.paper.published import layouts
from robench.report.paper.seeds import ATTACKS as SEEDED
from robench.report.paper.seeds import MAIN, SEEDS, seeded
from robench.report.paper.training import ATTACKS, STEPS, scale_margin_name
from robench.report.paper.transfer import ATTACKS as CRAFTING
from robench.report.paper.transfer import matrix
from robench.reproduce import pictures
from robench.reproduce.gradients import measure
from robench.reproduce.workshop import Workshop
from robench.specs import list_models

Draw = Callable[[Source, Path], None]


@dataclass(frozen=True)
class Target:
    """A table or figure of the paper.

    Attributes:
        need: trains and evaluates what is missing.
        tables: the tables that show it (`robench.report`).
        pictures: by name, each drawn from stored verdicts to a path whose suffix names the format.
    """

    need: Callable[[Workshop], None]
    tables: tuple[str, ...]
    pictures: dict[str, Draw] = field(default_factory=dict)


def _declared(name: str) -> Target:
    def need(shop: Workshop) -> None:
        layout = layouts()[name]
        for defense in layout.rows(shop.dataset):
            shop.evaluate(shop.card(defense), [*layout.attacks, *layout.also])

    return Target(need, (name,))


def _blackbox(shop: Workshop) -> None:
    _declared("table8").need(shop)
    for defense in MAIN:
        shop.evaluate(shop.card(defense), ASKING)


def _normalised(shop: Workshop) -> None:
    rows = published("table7_fn_in_the_attack")
    names = [f"fn-{row['attack']}" if row["fn_in_objective"] == "yes" else row["attack"] for row in rows]
    shop.evaluate(shop.card("standard"), names)


def _corruptions(shop: Workshop) -> None:
    for name in list_models():
        dataset, _, defense = name.rpartition("/")
        if dataset == shop.dataset:
            shop.corrupted(shop.card(defense))


def _scale_margin(shop: Workshop) -> None:
    for row in published("appendix_table1_scale_margin"):
        scale, margin = float(row["scale"]), float(row["margin"])
        name = scale_margin_name(shop.source, scale, margin)
        shop.evaluate(shop.derived("trades_he", name, {"head.scale": scale, "head.margin": margin}), ATTACKS)


def _fewer_steps(shop: Workshop) -> None:
    for name in ("pgdat", "pgdat_he"):
        for steps in STEPS:
            shop.evaluate(shop.derived(name, f"{name}-steps{steps}", {"recipe.steps": steps}), ATTACKS)


def _seeds(shop: Workshop) -> None:
    for name in MAIN:
        for seed in SEEDS:
            card = shop.derived(name, seeded(shop.source, name, seed), {"recipe.seed": seed})
            shop.evaluate(card, SEEDED)


def _transfer(shop: Workshop) -> None:
    paper = matrix()
    crafting = [shop.card(name) for name in dict.fromkeys(substitute for substitute, _ in paper)]
    for target in next(iter(paper.values())):
        shop.evaluate(shop.card(target), [f"transfer-{attack}" for attack in CRAFTING], crafting)


TARGETS: dict[str, Target] = {
    **{name: _declared(name) for name in ("table2", "table3", "table4", "table6", "ablation", "appendix-table2")},
    "table5": Target(
        _corruptions,
        ("table5", "appendix-table3", "appendix-table4", "corruption-cells", "corruption-differences", "spatial"),
        {"corruption-differences": pictures.corruption_differences},
    ),
    "table7": Target(_normalised, ("table7",)),
    "table8": Target(
        _blackbox, ("table8", "blackbox-queries", "blackbox-curves"), {"blackbox-queries": pictures.queries}
    ),
    "appendix-table1": Target(_scale_margin, ("appendix-table1",)),
    "transfer": Target(_transfer, ("transfer",), {"transfer": pictures.transfer}),
    "fig2": Target(_fewer_steps, ("fig2",), {"fig2": pictures.fewer_steps}),
    "fig3": Target(measure, ("fig3",), {"fig3": pictures.hard_examples}),
    "seeds": Target(_seeds, ("seeds", "he-paired")),
}
