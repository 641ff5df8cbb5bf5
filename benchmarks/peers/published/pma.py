"""PMA: Xie, Zheng, Huang, Ye, Ma: Towards million-scale adversarial robustness evaluation with stronger individual
attacks, CVPR 2025, arXiv:2411.15210; constants from github.com/OpenTAI/taiadv (vision/white-box/attacks/PMA.py).

Steepest ascent on the margin of probabilities, L = max_{i != y} p_i - p_y with p = softmax(z), in the frame of the
margin decomposition attack. Of K = 100 steps the first climbs p_y, away from the boundary; those before K' = K / 2
climb one term alone, -p_y in one run and max p_i in the next; the others climb L. Each half begins with a step of 2 eps
that falls to zero along a cosine. Each restart is both runs from new random points; their command line makes 4.

Unlike their code the random start is cut to [0, 1] before its first query.
"""

import math
from functools import partial

from torch import Tensor, nn

from benchmarks.peers.published.search import Search, gradient, project, rival

STEPS, RESTARTS = 100, 4


def attack(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, seed: int, steps: int = STEPS, restarts: int = RESTARTS
) -> Tensor:
    """Points (N, C, H, W)."""
    search = Search(model, x, y, eps, seed)
    search.look(search.active, x)
    for run in range(2 * restarts):
        _run(search, run % 2 == 1, steps)
    return search.points


def objective(logits: Tensor, y: Tensor, k: int, steps: int, rival_first: bool) -> Tensor:
    """What step k climbs, (N,)."""
    p = logits.softmax(1)
    own, other = p.gather(1, y[:, None])[:, 0], rival(p, y)
    if k == 0:
        return own
    if k < steps / 2:
        return other if rival_first else -own
    return other - own


def step_size(k: int, steps: int) -> float:
    """Length of step k in eps."""
    half = steps / 2
    since = k - 1 if k <= half else k - 1 - half
    return 1 + math.cos(math.pi * since / (steps - half))


def _run(search: Search, rival_first: bool, steps: int) -> None:
    rows = search.active
    points = search.start(rows)
    for k in range(steps):
        if not len(rows):
            return
        climbed = partial(objective, y=search.y[rows], k=k, steps=steps, rival_first=rival_first)
        slope, _, logits = gradient(search.model, points, climbed)
        stay = search.book(rows, points, logits)
        rows = rows[stay]
        moved = points[stay] + step_size(k, steps) * search.eps * slope[stay].sign()
        points = project(moved, search.x[rows], search.eps)
    if len(rows):
        search.look(rows, points)
