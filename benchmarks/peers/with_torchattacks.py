"""torchattacks: its points are its last iterates, but for APGD, FAB and Square."""

from collections.abc import Mapping

import torch
import torchattacks as ta
from torch import Tensor

from benchmarks.peers.case import (
    CONSTANTS,
    DEEPFOOL_STEPS,
    DIRECTIONS,
    FIRST_CONSTANT,
    OVERSHOOT,
    RATE,
    REL_STEP,
    Attack,
    Case,
    in_batches,
)

NAME = "torchattacks"


def pgd(case: Case, steps: int) -> Tensor:
    """From a uniform start."""
    return ta.PGD(case.model, eps=case.eps, alpha=REL_STEP * case.eps, steps=steps)(case.x, case.y)


def mim(case: Case, seed: int) -> Tensor:
    """MI-FGSM, decay 1."""
    return ta.MIFGSM(case.model, eps=case.eps, alpha=REL_STEP * case.eps, steps=20)(case.x, case.y)


def apgd_t(case: Case, seed: int) -> Tensor:
    """All nine targets."""
    return ta.APGDT(case.model, eps=case.eps, steps=100, seed=seed, n_classes=case.classes)(case.x, case.y)


def fab(case: Case, seed: int) -> Tensor:
    """All nine targets, one run each."""
    attack = ta.FAB(case.model, eps=case.eps, steps=100, multi_targeted=True, n_classes=case.classes, seed=seed)
    return attack(case.x, case.y)


def square(case: Case, seed: int) -> Tensor:
    """With the schedule of AutoAttack, which does not depend on the number of queries."""
    attack = ta.Square(case.model, eps=case.eps, n_queries=case.effort.queries, resc_schedule=False, seed=seed)
    return attack(case.x, case.y)


def spsa(case: Case, steps: int, max_batch: int = 64) -> Tensor:
    """Of `max_batch` directions at once; 64 is its default."""
    attack = ta.SPSA(case.model, case.eps, nb_iter=steps, nb_sample=DIRECTIONS, max_batch_size=max_batch)
    return attack(case.x, case.y)


def carlini_wagner(case: Case, seed: int) -> Tensor:
    """It has no search for the constant: the nearest of one run for each constant that the search begins with."""
    nearest, points = torch.full_like(case.y, 0, dtype=torch.float64) + float("inf"), case.x.clone()
    for power in range(CONSTANTS):
        attack = ta.CW(case.model, c=FIRST_CONSTANT * 10**power, steps=case.effort.iterations, lr=RATE)
        found = attack(case.x, case.y).detach()
        lengths = case.lengths(found)
        nearer = lengths < nearest
        nearest[nearer], points[nearer] = lengths[nearer], found[nearer]
    return points


ALONE: Mapping[str, Attack] = {
    "fgsm": lambda case, seed: ta.FGSM(case.model, eps=case.eps)(case.x, case.y),
    "pgd-20": lambda case, seed: pgd(case, 20),
    "pgd-100": lambda case, seed: pgd(case, 100),
    "pgd-500": lambda case, seed: pgd(case, 500),
    "mim-20": mim,
    "apgd-ce": lambda case, seed: ta.APGD(case.model, eps=case.eps, steps=100, seed=seed)(case.x, case.y),
    "apgd-t": apgd_t,
    "fab-t": fab,
    "square": square,
    "spsa": lambda case, seed: spsa(case, case.effort.spsa_steps),
    "deepfool": lambda case, seed: ta.DeepFool(case.model, DEEPFOOL_STEPS, OVERSHOOT)(case.x, case.y),
    "cw-l2": carlini_wagner,
}
ATTACKS: Mapping[str, Attack] = {name: in_batches(attack) for name, attack in ALONE.items()}
