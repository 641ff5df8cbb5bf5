"""pyautoattack: the four attacks of AutoAttack's standard version, each alone."""

from collections.abc import Mapping
from functools import partial

from comparison import EPS, Attack, Case
from pyautoattack import AutoAttack
from torch import Tensor

NAME = "pyautoattack"


def run(attack: str, case: Case, seed: int) -> Tensor:
    """The points."""
    standard = AutoAttack(case.model, eps=EPS, seed=seed)
    standard.attacks_to_run = [attack]
    points, _ = standard.run_standard_evaluation(case.x, case.y, batch_size=1024)
    return points


ATTACKS: Mapping[str, Attack] = {name: partial(run, name) for name in ("apgd-ce", "apgd-t", "fab-t", "square")}
