"""Foolbox: no APGD, FAB or Square; its points are its last iterates, clipped to eps."""

from collections.abc import Mapping

import foolbox.attacks as fa
from comparison import (
    CONSTANTS,
    DEEPFOOL_STEPS,
    EPS,
    FIRST_CONSTANT,
    ITERATIONS,
    OVERSHOOT,
    RATE,
    REL_STEP,
    Attack,
    Case,
)
from foolbox import PyTorchModel
from torch import Tensor

NAME = "Foolbox"


def run(attack: fa.base.Attack, case: Case, eps: float | None = EPS) -> Tensor:
    """The points; of any length where eps is None."""
    _, clipped, _ = attack(PyTorchModel(case.model, bounds=(0, 1), device="cpu"), case.x, case.y, epsilons=eps)
    return clipped


def carlini_wagner(case: Case, seed: int) -> Tensor:
    """It may stop Adam early, as by default."""
    attack = fa.L2CarliniWagnerAttack(
        binary_search_steps=CONSTANTS, steps=ITERATIONS, stepsize=RATE, initial_const=FIRST_CONSTANT
    )
    return run(attack, case, None)


def pgd(case: Case, steps: int) -> Tensor:
    """From a uniform start."""
    return run(fa.LinfPGD(rel_stepsize=REL_STEP, steps=steps, random_start=True), case)


ATTACKS: Mapping[str, Attack] = {
    "fgsm": lambda case, seed: run(fa.FGSM(), case),
    "pgd-20": lambda case, seed: pgd(case, 20),
    "pgd-100": lambda case, seed: pgd(case, 100),
    "mim-20": lambda case, seed: run(fa.MIFGSM(rel_stepsize=REL_STEP, steps=20), case),
    "deepfool": lambda case, seed: run(fa.L2DeepFoolAttack(steps=DEEPFOOL_STEPS, overshoot=OVERSHOOT), case, None),
    "cw-l2": carlini_wagner,
}
