"""APGD in linf: Croce, Hein: Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free
attacks, ICML 2020, Algorithm 1.

z = P(x_k + eta sign(grad)), x_{k+1} = P(x_k + a (z - x_k) + (1 - a)(x_k - x_{k-1})), a = 0.75 and 1 in the first step.
eta begins at 2 eps. At a checkpoint eta is halved and the search goes on from its best point if the objective rose in
at most 3/4 of the steps since the last one, or if eta was not halved there and the best value is still the same. The
lengths between checkpoints are 0.22 K, then 0.03 K less each time, at least 0.06 K.
"""

from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from benchmarks.peers.published.search import Search, gradient, project

STEPS, MOMENTUM, RISES = 100, 0.75, 0.75


class Objective(Protocol):
    """What is climbed, (N,): of the logits (N, K) of some rows."""

    def __call__(self, logits: Tensor, rows: Tensor) -> Tensor: ...


def run(
    search: Search,
    rows: Tensor,
    start: Tensor,
    objective: Objective,
    steps: int = STEPS,
) -> Tensor:
    """Climb an objective from points `start`, and book what is broken; return the best points of the rest."""
    slope, value, logits = gradient(search.model, start, partial(objective, rows=rows))
    one = torch.full_like(value, 2 * search.eps)
    never = torch.zeros_like(rows, dtype=torch.bool)
    at = {"rows": rows, "x": start, "before": start, "slope": slope, "value": value, "eta": one, "halved": never}
    at |= {"best": start, "best_slope": slope, "top": value, "checked": value, "rises": torch.zeros_like(rows)}
    at = _stay(at, search.book(rows, start, logits))
    length, since = max(int(0.22 * steps), 1), 0
    for k in range(steps):
        if not len(at["rows"]):
            break
        at = _moved(search, at, MOMENTUM if k else 1.0)
        mine = at["rows"]
        slope, value, logits = gradient(search.model, at["x"], partial(objective, rows=mine))
        at["slope"], at["rises"], at["value"] = slope, at["rises"] + (value > at["value"]), value
        at = _stay(at, search.book(mine, at["x"], logits))
        better = at["value"] > at["top"]
        at["top"] = torch.where(better, at["value"], at["top"])
        at["best"], at["best_slope"] = _pick(better, at["x"], at["best"]), _pick(better, at["slope"], at["best_slope"])
        since += 1
        if since == length:
            at = _checked(at, length)
            length, since = max(length - max(int(0.03 * steps), 1), int(0.06 * steps), 1), 0
    return at["best"]


def _moved(search: Search, at: dict[str, Tensor], a: float) -> dict[str, Tensor]:
    x, before, clean = at["x"], at["before"], search.x[at["rows"]]
    z = project(x + at["eta"].view(-1, *[1] * (x.dim() - 1)) * at["slope"].sign(), clean, search.eps)
    return at | {"x": project(x + a * (z - x) + (1 - a) * (x - before), clean, search.eps), "before": x}


def _checked(at: dict[str, Tensor], length: int) -> dict[str, Tensor]:
    halve = (at["rises"] <= RISES * length) | (~at["halved"] & (at["top"] <= at["checked"]))
    return at | {
        "eta": torch.where(halve, at["eta"] / 2, at["eta"]),
        "x": _pick(halve, at["best"], at["x"]),
        "slope": _pick(halve, at["best_slope"], at["slope"]),
        "halved": halve,
        "checked": at["top"],
        "rises": torch.zeros_like(at["rises"]),
    }


def _stay(at: dict[str, Tensor], rows: Tensor) -> dict[str, Tensor]:
    return {name: values[rows] for name, values in at.items()}


def _pick(rows: Tensor, these: Tensor, those: Tensor) -> Tensor:
    return torch.where(rows.view(-1, *[1] * (these.dim() - 1)), these, those)
