"""Foolbox: no APGD, FAB or Square; its points are its last iterates, clipped to eps."""

from collections.abc import Mapping

import foolbox.attacks as fa
from foolbox import PyTorchModel
from torch import Tensor

from benchmarks.peers.case import (
    CONSTANTS,
    DEEPFOOL_STEPS,
    FIRST_CONSTANT,
    OVERSHOOT,
    RATE,
    REL_STEP,
    Attack,
    Case,
    in_batches,
)

NAME = "Foolbox"


def run(attack: fa.base.Attack, case: Case, *, bounded: bool = True) -> Tensor:
    """The points; of any length unless bounded."""
    network = PyTorchModel(case.model, bounds=(0, 1), device=case.x.device)
    _, clipped, _ = attack(network, case.x, case.y, epsilons=case.eps if bounded else None)
    return clipped


def carlini_wagner(case: Case, seed: int) -> Tensor:
    """It may stop Adam early, as by default."""
    attack = fa.L2CarliniWagnerAttack(
        binary_search_steps=CONSTANTS, steps=case.effort.iterations, stepsize=RATE, initial_const=FIRST_CONSTANT
    )
    return run(attack, case, bounded=False)


def deepfool(case: Case, seed: int) -> Tensor:
    """Under l2, over its default of ten candidates."""
    return run(fa.L2DeepFoolAttack(steps=DEEPFOOL_STEPS, overshoot=OVERSHOOT), case, bounded=False)


def pgd(case: Case, steps: int) -> Tensor:
    """From a uniform start."""
    return run(fa.LinfPGD(rel_stepsize=REL_STEP, steps=steps, random_start=True), case)


ALONE: Mapping[str, Attack] = {
    "fgsm": lambda case, seed: run(fa.FGSM(), case),
    "pgd-20": lambda case, seed: pgd(case, 20),
    "pgd-100": lambda case, seed: pgd(case, 100),
    "pgd-500": lambda case, seed: pgd(case, 500),
    "mim-20": lambda case, seed: run(fa.MIFGSM(rel_stepsize=REL_STEP, steps=20), case),
    "deepfool": deepfool,
    "cw-l2": carlini_wagner,
}
ATTACKS: Mapping[str, Attack] = {name: in_batches(attack) for name, attack in ALONE.items()}
