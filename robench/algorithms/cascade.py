"""The cascade's first version, kept so that its published records can be run again: parallel runs towards classes."""

import dataclasses
import math
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, where

from robench.access.answers import Bounds
from robench.algorithms.base import STRICT, Algorithm, Count, Positive, State, Task, put, take
from robench.algorithms.targeting import most_promising, untried
from robench.numerics.ball import per_example
from robench.numerics.goal import Goal
from robench.numerics.losses import Objective


@dataclasses.dataclass(frozen=True)
class PairState(State):
    """Results for each (example, class) pair, and the lanes: parallel runs on one example.

    Attributes:
        x: the point with the largest gap of all so far, (A, C, H, W).
        lanes: points of the present parallel runs, (A, L, C, H, W).
        target: target class of each parallel run, (A, L).
        gap: the largest logit gap Z_k - Z_y seen so far, (A, K); minus infinity for the label.
        tries: number of runs towards the class, (A, K).
        clean: the largest gap at the clean point, (A,).
        active: whether the search goes on, bool (A,).
    """

    lanes: Tensor
    target: Tensor
    gap: Tensor
    tries: Tensor
    clean: Tensor
    active: Tensor


class Run(NamedTuple):
    """Position of a step: the kind of its runs, the number of earlier runs of that kind, the step within the run."""

    kind: Literal["opening", "survey", "deep"]
    before: int
    i: int
    length: int
    lanes: int


@dataclass(frozen=True, config=STRICT)
class Cascade(Algorithm[PairState]):
    """Short runs of steepest ascent, each towards the class that earlier runs have made the most promising.

    1. Opening: a few steps on the untargeted margin break easy examples.
    2. Survey: a few steps towards each of the likeliest wrong classes (the multi-targeted attack of Gowal et
       al. 2019, without its restarts); for every pair of example and class the largest logit gap Z_k - Z_y is kept.
    3. Deep runs, several in parallel on each example, for the rest of the steps: they lead to the classes with
       the largest gaps, discounted by the runs already spent on each class, so that near ties are explored
       and a clear favourite is exploited. All runs start from fresh random points, except the last, which starts
       from the best point so far. After r deep runs an example is given up if the ratio of its largest gap to its
       gap at the clean point is still above hope / (1 + r / fade); no scaling of the logits changes this ratio.
       The rest of the budget goes to the examples that are left.

    Within a run x_{t+1} = P(x_t + eta_t u(grad J(x_t))), eta_t = rate eps (1 + cos(pi i / length)) / 2. No
    run depends on the total number of steps, so the accuracy at every smaller budget is read from the same
    attack. The constants were chosen on training examples (tools/choose_cascade.py).

    With a target class t all runs lead to t, and its gap is Z_t - max_{i != t} Z_i.

    Attributes:
        opening, survey, deep: steps in a run of each kind.
        targets: number of wrong classes in the survey.
        lanes: number of parallel deep runs on each example.
        opening_rate, rate, best_rate: first step size of a run in units of eps: in the opening, from a
            random start, from the best point.
        discount: share by which a gap counts as worse for each further run spent on its class.
        hope: ratio of the clean gap above which an example is given up before the first deep run.
        fade: number of deep runs after which that ratio is halved.
    """

    opening: Count = 10
    survey: Count = 7
    deep: Count = 16
    targets: Count = 9
    lanes: Count = 4
    opening_rate: Positive = 1.0
    rate: Positive = 2.0
    best_rate: Positive = 0.5
    discount: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    hope: Positive = 0.8
    fade: Positive = 9.0

    version: ClassVar[int] = 2
    bounds: ClassVar[Bounds] = "own"
    checks_own_proposals: ClassVar[bool] = True
    can_aim: ClassVar[bool] = True

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Count the pass at the clean point, the passes of every step, and the passes at the ends of runs."""
        runs = [self._run(t, classes) for t in range(steps)]
        climbs = sum(run.lanes for run in runs)
        return 1 + climbs + sum(run.lanes for run in runs if run.i == run.length - 1), climbs

    def init(self, task: Task) -> PairState:
        """Start from the clean point and its gaps."""
        gap = task.goal.gaps(task.oracle.logits(task.x))
        lanes = task.x[:, None].repeat_interleave(self.lanes, 1)
        target = task.y[:, None].repeat_interleave(self.lanes, 1)
        active = torch.ones_like(task.y, dtype=torch.bool)
        return PairState(task.x, lanes, target, gap, torch.zeros_like(gap), gap.amax(1), active)

    def step(self, state: PairState, t: int, task: Task) -> PairState:
        """Take one step of the runs of all active examples; begin new runs if the last runs have ended."""
        whole = state
        run = self._run(t, state.gap.shape[1] if task.target_class is None else 2)
        if run.i == 0 and run.kind == "deep":
            share = self.hope / (1 + run.before / self.fade)
            whole = replace(whole, active=whole.gap.amax(1) >= share * whole.clean)
        rows = whole.active.nonzero().flatten()
        if not len(rows):
            return whole
        pairs, part = take(whole, rows), task.take(rows)
        if run.i == 0:
            pairs = self._begin(pairs, run, t, part)
        return put(whole, rows, self._climb(pairs, run, rows, part))

    def _run(self, t: int, classes: int) -> Run:
        """Return the runs to which step t belongs."""
        surveys = min(self.targets, classes - 1)
        if t < self.opening:
            return Run("opening", 0, t, self.opening, 1)
        t -= self.opening
        if t < surveys * self.survey:
            return Run("survey", *divmod(t, self.survey), self.survey, 1)
        waves, i = divmod(t - surveys * self.survey, self.deep)
        return Run("deep", waves * self.lanes, i, self.deep, self.lanes)

    def _begin(self, pairs: PairState, run: Run, t: int, task: Task) -> PairState:
        """Choose target and start of each parallel run."""
        lanes, target, tries = pairs.lanes.clone(), pairs.target.clone(), pairs.tries
        for lane in range(run.lanes):
            from_best = _is_last_of_deep(lane, run)
            lanes[:, lane] = pairs.x if from_best else task.random_point(t, f"start {lane}")
            if run.kind != "opening":
                discount = 0.0 if from_best else self.discount
                target[:, lane] = (
                    untried(pairs.gap, tries) if run.kind == "survey" else most_promising(pairs.gap, tries, discount)
                )
                tries = tries.scatter_add(1, target[:, lane, None], torch.ones_like(tries))
        return replace(pairs, lanes=lanes, target=target, tries=tries)

    def _climb(self, pairs: PairState, run: Run, rows: Tensor, task: Task) -> PairState:
        """Take one step of every parallel run; at the end of a run, also query the last points."""
        of = torch.arange(len(rows), device=rows.device).repeat_interleave(run.lanes)
        ball, target = task.ball.take(of), pairs.target[:, : run.lanes].flatten()
        x = pairs.lanes[:, : run.lanes].flatten(0, 1)
        targeted = run.kind != "opening"
        objective, given = (Objective("lead"), (target,)) if targeted else (Objective("margin"), ())
        slope = task.oracle.gradient(x, objective, rows[of], given=given)
        pairs = _remember(pairs, x, slope.logits, task.goal)
        rates = [self._rate(lane, run) for lane in range(run.lanes)]
        eta = x.new_tensor(rates).repeat(len(rows)) * ball.eps * (1 + math.cos(math.pi * run.i / run.length)) / 2
        x = ball.project(ball.ascend(x, slope.gradient, per_example(eta, x)))
        if run.i == run.length - 1:
            pairs = _remember(pairs, x, task.oracle.logits(x, rows[of], candidate=True), task.goal)
        lanes = pairs.lanes.clone()
        lanes[:, : run.lanes] = x.unflatten(0, (-1, run.lanes))
        return replace(pairs, lanes=lanes)

    def _rate(self, lane: int, run: Run) -> float:
        """Return the first step size of a run in units of eps."""
        if run.kind == "opening":
            return self.opening_rate
        return self.best_rate if _is_last_of_deep(lane, run) else self.rate


def _is_last_of_deep(lane: int, run: Run) -> bool:
    return run.kind == "deep" and lane == run.lanes - 1


def _remember(pairs: PairState, x: Tensor, logits: Tensor, goal: Goal) -> PairState:
    """Keep the largest gap of each class over all parallel runs, and the point with the largest gap of all."""
    n = len(goal.y)
    rows, lanes = torch.arange(n, device=x.device), len(x) // n
    gap = goal.take(rows.repeat_interleave(lanes)).gaps(logits).unflatten(0, (-1, lanes))
    value, lane = gap.amax(2).max(dim=1)
    x = x.unflatten(0, (-1, lanes))[rows, lane]
    better = per_example(value > pairs.gap.amax(1), x)
    return replace(pairs, x=where(better, x, pairs.x), gap=pairs.gap.maximum(gap.amax(1)))


ALGORITHM = Cascade
