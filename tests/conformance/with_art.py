"""The Adversarial Robustness Toolbox: no FAB, and no targeted DLR loss for APGD."""

from collections.abc import Mapping

import art.attacks.evasion as aa
import torch
from art.attacks import EvasionAttack
from art.estimators.classification import PyTorchClassifier
from comparison import (
    CLASSES,
    CONSTANTS,
    DEEPFOOL_STEPS,
    EPS,
    ITERATIONS,
    OVERSHOOT,
    QUERIES,
    RATE,
    REL_STEP,
    Attack,
    Case,
)
from torch import Tensor, nn

NAME = "ART"
BATCH = {"batch_size": 1024}
CHUNK = {**BATCH, "verbose": False}
ART_CONSTANT = 1.0
"""It doubles the constant where the others take it tenfold: from 1e-3 it would end at 0.26, below what is needed."""
STEP = {"eps": EPS, "eps_step": REL_STEP * EPS, **CHUNK}


def wrapped(case: Case) -> PyTorchClassifier:
    """The network as ART sees it."""
    return PyTorchClassifier(
        case.model, nn.CrossEntropyLoss(), tuple(case.x.shape[1:]), CLASSES, clip_values=(0, 1), device_type="cpu"
    )


def run(attack: EvasionAttack, case: Case) -> Tensor:
    """The points."""
    return torch.from_numpy(attack.generate(case.x.numpy(), case.y.numpy())).float()


def pgd(case: Case, steps: int) -> Tensor:
    """From one uniform start."""
    return run(aa.ProjectedGradientDescentPyTorch(wrapped(case), max_iter=steps, num_random_init=1, **STEP), case)


def apgd(case: Case, seed: int) -> Tensor:
    """With the first step of the paper, 2 eps."""
    attack = aa.AutoProjectedGradientDescent(
        wrapped(case), eps=EPS, eps_step=2 * EPS, max_iter=100, nb_random_init=1, loss_type="cross_entropy", **CHUNK
    )
    return run(attack, case)


def deepfool(case: Case, seed: int) -> Tensor:
    """Over all classes."""
    return run(aa.DeepFool(wrapped(case), DEEPFOOL_STEPS, OVERSHOOT, nb_grads=CLASSES, **CHUNK), case)


def carlini_wagner(case: Case, seed: int) -> Tensor:
    """Gradient descent with a line search of up to ten passes instead of Adam: as many passes as the others."""
    attack = aa.CarliniL2Method(
        wrapped(case),
        learning_rate=RATE,
        binary_search_steps=CONSTANTS,
        max_iter=ITERATIONS // 10,
        initial_const=ART_CONSTANT,
        **CHUNK,
    )
    return run(attack, case)


ATTACKS: Mapping[str, Attack] = {
    "fgsm": lambda case, seed: run(aa.FastGradientMethod(wrapped(case), eps=EPS, eps_step=EPS, **BATCH), case),
    "pgd-20": lambda case, seed: pgd(case, 20),
    "pgd-100": lambda case, seed: pgd(case, 100),
    "mim-20": lambda case, seed: run(aa.MomentumIterativeMethod(wrapped(case), max_iter=20, **STEP), case),
    "apgd-ce": apgd,
    "square": lambda case, seed: run(aa.SquareAttack(wrapped(case), max_iter=QUERIES, eps=EPS, **CHUNK), case),
    "deepfool": deepfool,
    "cw-l2": carlini_wagner,
}
