"""The Adversarial Robustness Toolbox: no FAB, and no targeted DLR loss for APGD."""

from collections.abc import Mapping
from typing import Any

import art.attacks.evasion as aa
import torch
from art.attacks import EvasionAttack
from art.estimators.classification import PyTorchClassifier
from torch import Tensor, nn

from benchmarks.peers.case import CONSTANTS, DEEPFOOL_STEPS, OVERSHOOT, RATE, REL_STEP, Attack, Case

NAME = "ART"
ART_CONSTANT = 1.0
"""It doubles the constant where the others take it tenfold: from 1e-3 it would end at 0.26, below what is needed."""


def wrapped(case: Case) -> PyTorchClassifier:
    """The network as ART sees it."""
    device = "cpu" if case.x.device.type == "cpu" else "gpu"
    shape = tuple(case.x.shape[1:])
    return PyTorchClassifier(
        case.model, nn.CrossEntropyLoss(), shape, case.classes, clip_values=(0, 1), device_type=device
    )


def chunks(case: Case) -> dict[str, Any]:
    """So many examples at a time, silently."""
    return {"batch_size": case.batch, "verbose": False}


def stepping(case: Case) -> dict[str, Any]:
    """Radius and step length, too."""
    return {"eps": case.eps, "eps_step": REL_STEP * case.eps, **chunks(case)}


def run(attack: EvasionAttack, case: Case) -> Tensor:
    """The points."""
    found = attack.generate(case.x.cpu().numpy(), case.y.cpu().numpy())
    return torch.from_numpy(found).float().to(case.x.device)


def fgsm(case: Case, seed: int) -> Tensor:
    """One step of length eps."""
    return run(aa.FastGradientMethod(wrapped(case), eps=case.eps, eps_step=case.eps, batch_size=case.batch), case)


def pgd(case: Case, steps: int) -> Tensor:
    """From one uniform start."""
    attack = aa.ProjectedGradientDescentPyTorch(wrapped(case), max_iter=steps, num_random_init=1, **stepping(case))
    return run(attack, case)


def apgd(case: Case, seed: int) -> Tensor:
    """With the first step of the paper, 2 eps."""
    attack = aa.AutoProjectedGradientDescent(
        wrapped(case),
        eps=case.eps,
        eps_step=2 * case.eps,
        max_iter=100,
        nb_random_init=1,
        loss_type="cross_entropy",
        **chunks(case),
    )
    return run(attack, case)


def square(case: Case, seed: int) -> Tensor:
    """With its default share of pixels."""
    return run(aa.SquareAttack(wrapped(case), max_iter=case.effort.queries, eps=case.eps, **chunks(case)), case)


def deepfool(case: Case, seed: int) -> Tensor:
    """Over all classes."""
    return run(aa.DeepFool(wrapped(case), DEEPFOOL_STEPS, OVERSHOOT, nb_grads=case.classes, **chunks(case)), case)


def carlini_wagner(case: Case, seed: int) -> Tensor:
    """Gradient descent with a line search of up to ten passes instead of Adam: as many passes as the others."""
    attack = aa.CarliniL2Method(
        wrapped(case),
        learning_rate=RATE,
        binary_search_steps=CONSTANTS,
        max_iter=case.effort.iterations // 10,
        initial_const=ART_CONSTANT,
        **chunks(case),
    )
    return run(attack, case)


def zoo(case: Case, queries: int, parallel: int = 64, batch: int = 128) -> Tensor:
    """About so many queries an image, one image after the other; `batch` probes a pass, `parallel` coordinates an
    update. The defaults here are its fastest on `digits`; its own are 128 and 1.
    """
    # An update is two probes a coordinate and a look at the new point.
    updates = max(queries // (2 * parallel + 1), 1)
    attack = aa.ZooAttack(
        wrapped(case), max_iter=updates, binary_search_steps=1, abort_early=False, use_resize=False,
        use_importance=False, nb_parallel=parallel, batch_size=batch, verbose=False,
    )  # fmt: skip
    return torch.cat([run(attack, case.take(slice(at, at + 1))) for at in range(len(case.x))])


ATTACKS: Mapping[str, Attack] = {
    "fgsm": fgsm,
    "pgd-20": lambda case, seed: pgd(case, 20),
    "pgd-100": lambda case, seed: pgd(case, 100),
    "pgd-500": lambda case, seed: pgd(case, 500),
    "mim-20": lambda case, seed: run(aa.MomentumIterativeMethod(wrapped(case), max_iter=20, **stepping(case)), case),
    "apgd-ce": apgd,
    "square": square,
    "zoo": lambda case, seed: zoo(case, 2 * case.effort.zoo_updates),
    "deepfool": deepfool,
    "cw-l2": carlini_wagner,
}
