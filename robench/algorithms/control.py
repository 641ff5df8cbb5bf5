"""A control of gradient attacks: a few hundred queries of Square, spent on the examples nearest to the boundary."""

import dataclasses
from typing import ClassVar

import torch
from pydantic.dataclasses import dataclass
from torch import Tensor, where

from robench.access.answers import Bounds
from robench.algorithms.base import STRICT, Algorithm, Count, Positive, State, Task, put, take
from robench.algorithms.square import PROPOSALS, STARTS, covered
from robench.numerics.ball import TINY, per_example
from robench.specs import FEW, Access

PASSES = 140
"""Largest number of passes for all examples together if no more than `FEW` are evaluated."""


@dataclasses.dataclass(frozen=True)
class ControlSearch(State):
    """The best point so far x (N, C, H, W), its margin (N,), and the clean margin (N,), infinite until it is needed."""

    margin: Tensor
    clean: Tensor


@dataclass(frozen=True, config=STRICT)
class Control(Algorithm[ControlSearch]):
    """The proposals of Square (Andriushchenko et al. 2020) on every example, with a rule to give up.

    Every example gets `first` queries. After q queries it goes on only while the ratio of its smallest margin to its
    clean margin is at most hope / (1 + (q - first) / fade); no scaling of the logits changes this ratio. The rule looks
    at one example alone and not at the number of steps, so a short control is the beginning of a long one. Every step
    is one query; the clean margin is one more, asked after `first` queries.

    The constants were chosen on training examples (tools/choose_control.py).

    Attributes:
        share: share of the pixels that a square covers at first.
        first: number of queries for every example.
        hope: largest ratio of the margins after the first queries.
        fade: number of further queries after which that ratio is halved.
    """

    share: Positive = 0.8
    first: Count = 25
    hope: Positive = 0.4
    fade: Positive = 50.0

    access: ClassVar[Access] = "score"
    bounds: ClassVar[Bounds] = "own"
    checks_own_proposals: ClassVar[bool] = True
    can_aim: ClassVar[bool] = True

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Count one query for every step, and the clean margin."""
        return steps + (steps > self.first), 0

    def usual_cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Count twice the first queries: so much an example took on the training examples."""
        return min(2 * self.first, self.cost(steps, classes)[0]), 0

    def steps_for(self, steps: int, examples: int) -> int:
        """Shorten the control of a few examples, so that it does not cost more than the attacks."""
        if not 0 < examples <= FEW:
            return steps
        each = PASSES // examples
        return min(steps, each - (each > self.first))

    def init(self, task: Task) -> ControlSearch:
        """Start from the clean point, not queried yet."""
        unknown = torch.full_like(task.x[:, 0, 0, 0], float("inf"))
        return ControlSearch(task.x, margin=unknown, clean=unknown)

    def step(self, state: ControlSearch, t: int, task: Task) -> ControlSearch:
        """Make a proposal for every example that goes on, query it, and keep it if it is better."""
        if t == self.first:
            state = dataclasses.replace(state, clean=task.goal.margin(task.oracle.logits(task.x)))
        rows = self._going_on(state, t).nonzero().flatten()
        if not len(rows):
            return state
        return put(state, rows, self._query(take(state, rows), t, rows, task.take(rows)))

    def _going_on(self, state: ControlSearch, t: int) -> Tensor:
        """Return whether each example gets query t, bool (N,)."""
        if t < self.first:
            return torch.ones_like(state.margin, dtype=torch.bool)
        bound = self.hope / (1 + (t - self.first) / self.fade)
        return state.margin <= bound * state.clean.clamp_min(TINY)

    def _query(self, state: ControlSearch, t: int, rows: Tensor, task: Task) -> ControlSearch:
        """Query Square's start (t = 0), or its next proposal."""
        norm, share = task.ball.norm, covered(self.share, t)
        x = task.ball.project(STARTS[norm](task) if t == 0 else PROPOSALS[norm](state.x, share, t, task, spare=0))
        found = task.goal.margin(task.oracle.logits(x, rows, candidate=True))
        better = found < state.margin
        best = where(per_example(better, x), x, state.x)
        return dataclasses.replace(state, x=best, margin=where(better, found, state.margin))


ALGORITHM = Control
