"""The reproductions of all tables and figures: the evaluations they need, their tables and their pictures."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from robench.report.paper import VerdictSource, published
from robench.report.paper.blackbox import ASKING
from robench.report.paper.published import layouts
from robench.report.paper.seeds import ATTACKS as SEEDED
from robench.report.paper.seeds import MAIN, SEEDS, seeded
from robench.report.paper.training import ATTACKS, STEPS, scale_margin_name
from robench.report.paper.transfer import ATTACKS as CRAFTING
from robench.report.paper.transfer import matrix
from robench.reproduce import pictures
from robench.reproduce.gradients import measure
from robench.reproduce.run import ReproductionRun
from robench.specs import list_models

Draw = Callable[[VerdictSource, Path], None]


@dataclass(frozen=True)
class Reproduction:
    """A table or figure of the paper.

    Attributes:
        need: trains and evaluates the missing defenses and attacks.
        tables: the names of the tables that show the results (`robench.report`).
        pictures: functions by name that draw stored verdicts to a path, whose suffix names the format.
    """

    need: Callable[[ReproductionRun], None]
    tables: tuple[str, ...]
    pictures: dict[str, Draw] = field(default_factory=dict)


def _declared(name: str) -> Reproduction:
    def need(run: ReproductionRun) -> None:
        layout = layouts()[name]
        for defense in layout.rows(run.dataset):
            run.evaluate(run.card(defense), [*layout.attacks, *layout.also])

    return Reproduction(need, (name,))


def _blackbox(run: ReproductionRun) -> None:
    _declared("table8").need(run)
    for defense in MAIN:
        run.evaluate(run.card(defense), ASKING)


def _normalised(run: ReproductionRun) -> None:
    rows = published("table7_fn_in_the_attack")
    names = [f"fn-{row['attack']}" if row["fn_in_objective"] == "yes" else row["attack"] for row in rows]
    run.evaluate(run.card("standard"), names)


def _corruptions(run: ReproductionRun) -> None:
    for name in list_models():
        dataset, _, defense = name.rpartition("/")
        if dataset == run.dataset:
            run.corrupted(run.card(defense))


def _scale_margin(run: ReproductionRun) -> None:
    for row in published("appendix_table1_scale_margin"):
        scale, margin = float(row["scale"]), float(row["margin"])
        name = scale_margin_name(run.source, scale, margin)
        run.evaluate(run.derived("trades_he", name, {"head.scale": scale, "head.margin": margin}), ATTACKS)


def _fewer_steps(run: ReproductionRun) -> None:
    for name in ("pgdat", "pgdat_he"):
        for steps in STEPS:
            run.evaluate(run.derived(name, f"{name}-steps{steps}", {"recipe.steps": steps}), ATTACKS)


def _seeds(run: ReproductionRun) -> None:
    for name in MAIN:
        for seed in SEEDS:
            card = run.derived(name, seeded(run.source, name, seed), {"recipe.seed": seed})
            run.evaluate(card, SEEDED)


def _transfer(run: ReproductionRun) -> None:
    paper = matrix()
    crafting = [run.card(name) for name in dict.fromkeys(substitute for substitute, _ in paper)]
    for target in next(iter(paper.values())):
        run.evaluate(run.card(target), [f"transfer-{attack}" for attack in CRAFTING], crafting)


REPRODUCTIONS: dict[str, Reproduction] = {
    **{name: _declared(name) for name in ("table2", "table3", "table4", "table6", "ablation", "appendix-table2")},
    "table5": Reproduction(
        _corruptions,
        ("table5", "appendix-table3", "appendix-table4", "corruption-cells", "corruption-differences", "spatial"),
        {"corruption-differences": pictures.corruption_differences},
    ),
    "table7": Reproduction(_normalised, ("table7",)),
    "table8": Reproduction(
        _blackbox, ("table8", "blackbox-queries", "blackbox-curves"), {"blackbox-queries": pictures.queries}
    ),
    "appendix-table1": Reproduction(_scale_margin, ("appendix-table1",)),
    "transfer": Reproduction(_transfer, ("transfer",), {"transfer": pictures.transfer}),
    "fig2": Reproduction(_fewer_steps, ("fig2",), {"fig2": pictures.fewer_steps}),
    "fig3": Reproduction(measure, ("fig3",), {"fig3": pictures.hard_examples}),
    "seeds": Reproduction(_seeds, ("seeds", "he-paired")),
}
