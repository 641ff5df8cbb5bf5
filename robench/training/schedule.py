"""Learning-rate schedules, stepped once per mini-batch."""

from collections.abc import Callable

import numpy as np
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from robench.specs import Recipe

DECAY = 0.1
WARM = 0.2
CYCLE_TOP = 0.4


def schedule(recipe: Recipe, optimizer: Optimizer, batches: int) -> LRScheduler:
    """Make the schedule of a recipe for `batches` mini-batches per epoch."""
    total = recipe.epochs * batches
    if recipe.schedule == "one_cycle":  # Smith and Topin 2018
        warm = WARM if WARM * total != 1 else 2 * WARM  # torch divides by the warm updates minus one
        return OneCycleLR(optimizer, recipe.lr, total, pct_start=warm, cycle_momentum=False)
    factors: dict[str, Callable[[int], float]] = {
        "cyclic": lambda update: float(np.interp(update / total, [0, CYCLE_TOP, 1], [0, 1, 0])),  # Wong et al. 2020
        "step": lambda update: DECAY ** sum(update // batches >= epoch for epoch in recipe.milestones),
        "constant": lambda update: 1.0,
    }
    return LambdaLR(optimizer, factors[recipe.schedule])
