"""pyautoattack: AutoAttack's standard version, and its four attacks each alone."""

from collections.abc import Mapping
from functools import partial

from pyautoattack import AutoAttack
from torch import Tensor

from benchmarks.peers.case import Attack, Case

NAME = "pyautoattack"
PARTS = ("apgd-ce", "apgd-t", "fab-t", "square")


def run(attacks: tuple[str, ...], case: Case, seed: int) -> Tensor:
    """The points of some attacks, one after the other on what is left."""
    standard = AutoAttack(case.model, norm=NORMS[case.threat.norm], eps=case.eps, seed=seed, device=case.x.device.type)
    standard.attacks_to_run = list(attacks)
    if attacks == ("square",):  # the standard version keeps its 5,000
        standard.square.n_queries = case.effort.queries
    points, _ = standard.run_standard_evaluation(case.x, case.y, batch_size=case.batch)
    return points


NORMS = {"linf": "Linf", "l2": "L2"}
ATTACKS: Mapping[str, Attack] = {name: partial(run, (name,)) for name in PARTS} | {"autoattack": partial(run, PARTS)}
