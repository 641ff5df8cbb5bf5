"""MALT: Melamed, Yehudai, Shamir: MALT powers up adversarial attacks, NeurIPS 2024, arXiv:2407.02240; constants from
github.com/odeliamel/MALT (`demo.py`, `targeting.py`).

A network that is almost linear near x is led to class c within a distance of (z_y - z_c) / |grad(z_c - z_y)|_1 in linf.
Of the 100 classes with the largest logits besides y, the nine with the smallest such distance are attacked one after
the other, the nearest first, each by one targeted run of APGD of 100 steps from a random point. The objective is the
targeted difference of logits ratio as in adversarial-library, which the demonstration calls: the target's lead over
every other class, (z_t - max_{i != t} z_i) / (z_(1) - (z_(3) + z_(4)) / 2) with z_(1) >= z_(2) >= ...

Unlike their code, a class without a gradient comes last and not first; any wrong class counts, not the target alone;
and all distances share one pass forwards. The ratio needs four classes.
"""

from functools import partial

import torch
from torch import Tensor, nn

from benchmarks.peers.published import apgd
from benchmarks.peers.published.search import Search, rival

CANDIDATES, TARGETS = 100, 9


def attack(
    model: nn.Module, x: Tensor, y: Tensor, eps: float, seed: int, steps: int = apgd.STEPS, targets: int = TARGETS
) -> Tensor:
    """Points (N, C, H, W)."""
    search = Search(model, x, y, eps, seed)
    logits = search.look(search.active, x)
    rows = search.active
    aims = torch.zeros(len(x), min(targets, logits.shape[1] - 1), dtype=torch.int64, device=x.device)
    aims[rows] = order(model, x[rows], y[rows], logits[rows])[:, : aims.shape[1]]
    for place in range(aims.shape[1]):
        rows = search.active
        if len(rows):
            apgd.run(search, rows, start(search, rows), partial(_lead, aims[:, place]), steps)
    return search.points


def _lead(aims: Tensor, logits: Tensor, rows: Tensor) -> Tensor:
    return ratio(logits, aims[rows])


def order(model: nn.Module, x: Tensor, y: Tensor, logits: Tensor, candidates: int = CANDIDATES) -> Tensor:
    """The likeliest wrong classes (N, at most `candidates`), the one at the smallest linearised distance first."""
    likely = logits.scatter(1, y[:, None], -torch.inf).topk(min(candidates, logits.shape[1] - 1)).indices
    points = x.detach().requires_grad_()
    with torch.enable_grad():
        z = model(points)
        leads = z.gather(1, likely) - z.gather(1, y[:, None])
    norms = torch.zeros_like(leads)
    for place in range(likely.shape[1]):
        more = place + 1 < likely.shape[1]
        (slope,) = torch.autograd.grad(leads[:, place].sum(), points, retain_graph=more)
        norms[:, place] = slope.flatten(1).abs().sum(1)
    distance = torch.where(norms > 0, -leads.detach() / norms, torch.inf)
    return likely.gather(1, distance.argsort(dim=1, stable=True))


def ratio(logits: Tensor, target: Tensor) -> Tensor:
    """The targeted difference of logits ratio, (N,)."""
    lead = logits.gather(1, target[:, None])[:, 0] - rival(logits, target)
    top = logits.topk(4).values
    return lead / (top[:, 0] - (top[:, -2] + top[:, -1]) / 2 + 1e-8)


def start(search: Search, rows: Tensor) -> Tensor:
    """A random point of each row's ball, stretched until one value lies on the ball's surface, cut to [0, 1]."""
    draws = search.uniform(*search.x[rows].shape)
    largest = draws.flatten(1).abs().amax(1).view(-1, *[1] * (draws.dim() - 1))
    return (search.x[rows] + search.eps * draws / largest).clamp(0, 1)
