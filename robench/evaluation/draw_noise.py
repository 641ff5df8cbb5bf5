"""Indicators of an attack on a random network: noise of its gradients, and whether more draws lower the accuracy."""

import torch
from torch import Tensor

from robench.access.microbatches import MicroBatcher
from robench.access.stochastic import Draws
from robench.classifiers.frozen import FrozenNetwork
from robench.engine.loop import Chunk
from robench.numerics.losses import Objective
from robench.numerics.stats import mcnemar_drop
from robench.store import Rows, percent

TRIALS = 8
"""Draws of each gradient from which signal and noise are estimated."""
ALPHA = 0.01
"""Largest chance of a false finding that more draws lower the accuracy, one-sided exact McNemar test."""


def noise_to_signal(network: FrozenNetwork, chunk: Chunk, draws: Draws, batcher: MicroBatcher) -> float:
    """Return the variance of one draw's gradient in units of the squared length of the mean gradient.

    For draws g_i of the gradient of the margin, the mean of g_i . g_j over pairs estimates the squared length S of the
    mean gradient without bias, and the mean of g_i . g_i estimates S + N. The result is the median of N / S over the
    examples; infinite if S is not positive for half of them. Zero gradients count as free of noise.

    Args:
        network: the random network.
        chunk: correctly classified examples.
        draws: its randomness.
        batcher: calls the network.
    """
    objective = Objective("margin")

    def gradient(x: Tensor, y: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            logits, _ = network.class_answer(x, y, "logits")
            (slope,) = torch.autograd.grad(objective(logits, y).sum(), x)
        return slope

    ids = chunk.ids.cpu()
    found = []
    for trial in range(TRIALS):
        seeds = draws.seeds("noise", ids, torch.full_like(ids, trial), torch.zeros_like(ids))
        found.append(batcher(lambda seeds, x, y: draws.ask(gradient, seeds, x, y), seeds, chunk.x, chunk.y))
    slopes = torch.stack(found).flatten(2).double()
    squares = slopes.square().sum(2).mean(0)
    whole = slopes.sum(0).square().sum(1)
    signal = (whole - TRIALS * squares) / (TRIALS * (TRIALS - 1))
    ratio = (squares - signal) / signal
    ratio = torch.where(signal > 0, ratio, torch.inf)
    return float(torch.where(squares > 0, ratio, 0.0).median())  # zero gradients have an indicator of their own


def noise_share(ratio: float, draws: int, steps: int) -> float:
    """Return the share of an attack's squared displacement that is noise, if each step follows a gradient's mean.

    The steps add up to a direction with `draws` times `steps` draws in it. Its noise is N / (draws steps) beside the
    signal S, so the share is 1 / (1 + draws steps S / N). On a linear function the attack gains the root of one minus
    this share of what it could gain: 71% if the share is one half.
    """
    return 1.0 if ratio == float("inf") else ratio / (ratio + draws * steps)


def fall(fewer: Rows, more: Rows) -> float:
    """Return the points by which more draws lower an attack's robust accuracy; 0 if chance explains them.

    Args:
        fewer, more: verdicts of the same attack on the same examples, with fewer and with more draws.
    """
    lost, gained = (int((a & ~b).sum()) for a, b in ((fewer.robust, more.robust), (more.robust, fewer.robust)))
    if mcnemar_drop(lost, gained) > ALPHA:
        return 0.0
    return round(percent(fewer.robust) - percent(more.robust), 6)
