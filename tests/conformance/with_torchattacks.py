"""torchattacks: its points are its last iterates, but for APGD, FAB and Square."""

from collections.abc import Mapping

import torch
import torchattacks as ta
from comparison import (
    CLASSES,
    CONSTANTS,
    DEEPFOOL_STEPS,
    EPS,
    FIRST_CONSTANT,
    ITERATIONS,
    OVERSHOOT,
    QUERIES,
    RATE,
    REL_STEP,
    Attack,
    Case,
)
from torch import Tensor

NAME = "torchattacks"


def pgd(case: Case, steps: int) -> Tensor:
    """From a uniform start."""
    return ta.PGD(case.model, eps=EPS, alpha=REL_STEP * EPS, steps=steps)(case.x, case.y)


def mim(case: Case, seed: int) -> Tensor:
    """MI-FGSM, decay 1."""
    return ta.MIFGSM(case.model, eps=EPS, alpha=REL_STEP * EPS, steps=20)(case.x, case.y)


def fab(case: Case, seed: int) -> Tensor:
    """All nine targets, one run each."""
    return ta.FAB(case.model, eps=EPS, steps=100, multi_targeted=True, n_classes=CLASSES, seed=seed)(case.x, case.y)


def square(case: Case, seed: int) -> Tensor:
    """With the schedule of AutoAttack, which does not depend on the number of queries."""
    return ta.Square(case.model, eps=EPS, n_queries=QUERIES, resc_schedule=False, seed=seed)(case.x, case.y)


def carlini_wagner(case: Case, seed: int) -> Tensor:
    """It has no search for the constant: the nearest of one run for each constant that the search begins with."""
    nearest, points = torch.full_like(case.y, 0, dtype=torch.float64) + float("inf"), case.x.clone()
    for power in range(CONSTANTS):
        found = ta.CW(case.model, c=FIRST_CONSTANT * 10**power, steps=ITERATIONS, lr=RATE)(case.x, case.y).detach()
        lengths = case.lengths(found)
        nearer = lengths < nearest
        nearest[nearer], points[nearer] = lengths[nearer], found[nearer]
    return points


ATTACKS: Mapping[str, Attack] = {
    "fgsm": lambda case, seed: ta.FGSM(case.model, eps=EPS)(case.x, case.y),
    "pgd-20": lambda case, seed: pgd(case, 20),
    "pgd-100": lambda case, seed: pgd(case, 100),
    "mim-20": mim,
    "apgd-ce": lambda case, seed: ta.APGD(case.model, eps=EPS, steps=100, seed=seed)(case.x, case.y),
    "apgd-t": lambda case, seed: ta.APGDT(case.model, eps=EPS, steps=100, seed=seed, n_classes=CLASSES)(case.x, case.y),
    "fab-t": fab,
    "square": square,
    "deepfool": lambda case, seed: ta.DeepFool(case.model, DEEPFOOL_STEPS, OVERSHOOT)(case.x, case.y),
    "cw-l2": carlini_wagner,
}
