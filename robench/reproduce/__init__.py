"""The paper's tables and figures, measured here and set beside the published numbers."""

from collections.abc import Callable

from robench.errors import unknown
from robench.reproduce.blackbox import table6, table8
from robench.reproduce.corruptions import table5
from robench.reproduce.defenses import ablation, angles, fast
from robench.reproduce.gradients import hard_examples, normalised_attack
from robench.reproduce.seeds import seeds
from robench.reproduce.training import fewer_steps, scale_margin
from robench.reproduce.transfer import transfer
from robench.reproduce.workshop import Product, Workshop

Reproduction = Callable[[Workshop], list[Product]]

TARGETS: dict[str, Reproduction] = {
    "table3": fast,
    "table5": table5,
    "table6": table6,
    "table7": normalised_attack,
    "table8": table8,
    "ablation": ablation,
    "appendix-table2": angles,
    "scale-margin": scale_margin,
    "fig2": fewer_steps,
    "fig3": hard_examples,
    "seeds": seeds,
    "transfer": transfer,
}


def find_target(name: str) -> Reproduction:
    """A reproduction by name.

    Raises:
        InputError: no such table or figure.
    """
    if name not in TARGETS:
        raise unknown("table or figure", name, list(TARGETS))
    return TARGETS[name]


__all__ = ["TARGETS", "Product", "Reproduction", "Workshop", "find_target"]
