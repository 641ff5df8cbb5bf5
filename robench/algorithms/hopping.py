"""The cascade's second version: short runs, then hops from each example's best point."""

import dataclasses
import math
from dataclasses import replace
from typing import Annotated, ClassVar, Literal, NamedTuple

import torch
from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor, where

from robench.access.answers import Bounds
from robench.algorithms import detour
from robench.algorithms.base import STRICT, Algorithm, Count, Positive, State, Task, put, take
from robench.algorithms.sparse_ascent import run_radius, run_start, run_step
from robench.algorithms.targeting import most_promising, untried
from robench.numerics.ball import TINY, per_example
from robench.numerics.goal import Goal
from robench.numerics.losses import Objective
from robench.specs import NORMS, Norm

Sizes = Annotated[tuple[Positive, ...], Field(min_length=1)]
"""Sizes that are taken in turn."""


@dataclasses.dataclass(frozen=True)
class Search(State):
    """Results of all runs on each example, and its present run.

    Attributes:
        x: the point with the largest gap of all so far, (A, C, H, W).
        iterate: present point of the run, (A, C, H, W).
        target: class that the run leads to, (A,).
        gap: the largest logit gap Z_k - Z_y seen so far, (A, K); minus infinity for the label.
        lead: order of the classes in the survey, the largest first, (A, K): `gap`, or what `_leads` returns.
        tries: number of runs towards each class, (A, K).
        clean: the largest gap at the clean point, (A,).
        active: whether the search goes on, bool (A,).
    """

    iterate: Tensor
    target: Tensor
    gap: Tensor
    lead: Tensor
    tries: Tensor
    clean: Tensor
    active: Tensor


class Run(NamedTuple):
    """Position of a step in the attack.

    Attributes:
        kind: of the step's run.
        before: number of earlier runs of that kind.
        i: the step within the run.
        length: of the run.
        outside: steps of the run whose points may lie outside the ball.
    """

    kind: Literal["opening", "survey", "hop"]
    before: int
    i: int
    length: int
    outside: int


@dataclass(frozen=True, config=STRICT)
class Hopping(Algorithm[Search]):
    """Short runs of steepest ascent, each towards the class that earlier runs have made the most promising.

    1. Opening: a few steps on the untargeted margin break easy examples.
    2. Survey: a few steps from a random point towards each of the likeliest wrong classes (the multi-targeted attack
       of Gowal et al. 2019, without its restarts); for every example and class the largest logit gap Z_k - Z_y is kept.
       If there are more wrong classes than `targets`, these are chosen among twice as many classes of largest gap, by
       the gap at the clean point over the dual norm of its gradient (MALT: Melamed et al. 2024).
    3. Hops: each starts from the example's best point so far, moved by a random point of the ball and put back into
       the ball, and leads to the class with the largest gap, discounted by the runs already spent on each class (basin
       hopping: Wales and Doye 1997). A hop that ends higher moves the best point.

    Before hop h = 0, 1, ... an example is given up if its largest gap is still above hope / (1 + h / fade) times its
    gap at the clean point; no scaling of the logits changes this ratio. The rest of the budget goes to the examples
    that are left.

    Within a run x_{t+1} = P(x_t + eta_t u(grad J(x_t))), eta_t = rate eps (1 + cos(pi i / length)) / 2.

    In l2 there is no opening, runs begin in a larger ball, which shrinks to the allowed one over their first steps, and
    every other hop is untargeted; see `detour`, whose steps, rate and classes replace or extend those below.

    No run depends on the total number of steps, so the accuracy at every smaller budget is read from the same
    attack. The constants were chosen on training examples (tools/choose_cascade.py).

    In l1 the runs are longer, and each begins in a wider ball that shrinks, with steps that move fewer and fewer values
    (`sparse_ascent`, after Croce & Hein 2021): the few values that fill the ball are not known from one gradient.

    With a target class t all runs lead to t, and its gap is Z_t - max_{i != t} Z_i.

    Attributes:
        opening, survey, hop: steps in a run of each kind, in linf and l2.
        opening_l1, survey_l1, hop_l1: the same in l1.
        targets: number of wrong classes in the survey.
        opening_rate, survey_rate, hop_rate: first step size of a run of each kind in units of eps.
        shakes: sizes of the random moves before the hops, in turn, in units of a random point of the ball, in linf.
        shakes_l2: the same in l2, put back into the larger ball.
        discount: share by which a gap counts as worse for each further run spent on its class.
        hope: ratio of the clean gap above which an example gets no hops.
        fade: number of hops after which that ratio is halved, in linf.
        fade_l2: the same in l2, where a hop counts as `detour.HOPS` hops.
    """

    opening: Count = 10
    survey: Count = 7
    hop: Count = 8
    opening_l1: Count = 15
    survey_l1: Count = 15
    hop_l1: Count = 16
    targets: Count = 9
    opening_rate: Positive = 1.0
    survey_rate: Positive = 2.0
    hop_rate: Positive = 1.0
    shakes: Sizes = (1.0, 2.0)
    shakes_l2: Sizes = (3.0, 6.0)
    discount: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.5
    hope: Positive = 1.0
    fade: Positive = 4.0
    fade_l2: Positive = 8.0

    later: ClassVar[frozenset[str]] = frozenset({"opening_l1", "survey_l1", "hop_l1"})
    bounds: ClassVar[Bounds] = "own"
    checks_own_proposals: ClassVar[bool] = True
    can_aim: ClassVar[bool] = True

    def version_in(self, norm: Norm) -> int:
        """Return 2 in l2, where the runs begin outside the ball; the records of other norms stay valid."""
        return 2 if norm in detour.NORMS else self.version

    def cost(self, steps: int, classes: int) -> tuple[int, int]:
        """Count the pass at the clean point, the passes of every step, and the passes at the ends of runs."""
        counts = [self._cost(steps, classes, norm) for norm in NORMS]
        return max(forwards for forwards, _ in counts), max(backwards for _, backwards in counts)

    def _cost(self, steps: int, classes: int, norm: Norm) -> tuple[int, int]:
        """Count the passes in one norm."""
        runs = [self._run(t, classes, norm) for t in range(steps)]
        chosen = self._chooses(classes) and any(run.kind == "survey" for run in runs)
        ends = sum(run.i == run.length - 1 for run in runs)
        return 1 + steps + ends + chosen, steps + chosen * self._candidates(classes, norm)

    def init(self, task: Task) -> Search:
        """Start from the clean point and its gaps."""
        gap = task.goal.gaps(task.oracle.logits(task.x))
        active = torch.ones_like(task.y, dtype=torch.bool)
        return Search(task.x, task.x, task.y, gap, gap, torch.zeros_like(gap), gap.amax(1), active)

    def step(self, state: Search, t: int, task: Task) -> Search:
        """Take one step of the runs of all active examples; begin new runs if the last runs have ended."""
        whole = state
        classes = state.gap.shape[1] if task.target_class is None else 2
        run = self._run(t, classes, task.ball.norm)
        if run.i == 0 and run.kind == "hop":
            spent = run.before * (detour.HOPS if run.outside else 1)
            share = self.hope / (1 + spent / (self.fade_l2 if task.ball.norm == "l2" else self.fade))
            whole = replace(whole, active=whole.gap.amax(1) >= share * whole.clean)
        rows = whole.active.nonzero().flatten()
        if not len(rows):
            return whole
        search, part = take(whole, rows), task.take(rows)
        if run.i == run.before == 0 and run.kind == "survey" and self._chooses(classes):
            search = replace(search, lead=_leads(search.gap, self._candidates(classes, task.ball.norm), part))
        if run.i == 0:
            search = self._begin(search, run, t, part, classes)
        return put(whole, rows, self._climb(search, run, rows, part))

    def _run(self, t: int, classes: int, norm: Norm) -> Run:
        """Return the run to which step t belongs."""
        outside = detour.STEPS if norm in detour.NORMS else 0
        opening, survey, hop = 0 if outside else self.opening, outside + self.survey, outside + self.hop
        if norm == "l1":
            opening, survey, hop = self.opening_l1, self.survey_l1, self.hop_l1
        if t < opening:
            return Run("opening", 0, t, opening, 0)
        t -= opening
        surveys = self._surveys(classes, norm)
        if t < surveys * survey:
            return Run("survey", *divmod(t, survey), survey, outside)
        return Run("hop", *divmod(t - surveys * survey, hop), hop, outside)

    def _surveys(self, classes: int, norm: Norm) -> int:
        """Return the number of classes in the survey."""
        targets = min(detour.CLASSES, self.targets) if norm in detour.NORMS else self.targets
        return min(targets, classes - 1)

    def _chooses(self, classes: int) -> bool:
        """Return whether there are so many classes that those of the survey are chosen with care."""
        return classes - 1 > self.targets

    def _candidates(self, classes: int, norm: Norm) -> int:
        """Return the number of classes from which the survey's are chosen."""
        return min(2 * self._surveys(classes, norm), classes - 1)

    def _begin(self, search: Search, run: Run, t: int, task: Task, classes: int) -> Search:
        """Choose target and start of each run."""
        sparse = task.ball.norm == "l1"
        if run.kind == "opening" and not sparse:
            return search
        wide = detour.widened(task.ball, 0, run.outside)
        start = (task if run.kind == "hop" else replace(task, ball=wide)).random_point(t, "start")
        if sparse:
            start = run_start(task.ball, search.x if run.kind == "hop" else task.x, start, run.length)
            if run.kind == "opening":
                return replace(search, iterate=start)
        elif run.kind == "hop":
            shakes = self.shakes_l2 if task.ball.norm == "l2" else self.shakes
            start = wide.project(search.x + shakes[run.before % len(shakes)] * (start - task.x))
        if run.kind == "hop":
            target = most_promising(search.gap, search.tries, self.discount)
        else:
            target = untried(search.lead if self._chooses(classes) else search.gap, search.tries)
        tries = search.tries.scatter_add(1, target[:, None], torch.ones_like(search.tries))
        return replace(search, iterate=start, target=target, tries=tries)

    def _climb(self, search: Search, run: Run, rows: Tensor, task: Task) -> Search:
        """Take one step of every run; at the end of a run, also query the last point."""
        sparse, ball = task.ball.norm == "l1", detour.widened(task.ball, run.i + 1, run.outside)
        inside = run_radius(run.i, run.length) == 1 if sparse else run.i >= run.outside
        untargeted = run.kind == "opening" or (run.kind == "hop" and run.outside and run.before % 2 == 0)
        objective, given = (Objective("margin"), ()) if untargeted else (Objective("lead"), (search.target,))
        slope = task.oracle.gradient(search.iterate, objective, rows, given=given, candidate=inside)
        if inside:
            search = _remember(search, search.iterate, slope.logits, task.goal)
        rates = {"opening": self.opening_rate, "survey": self.survey_rate, "hop": self.hop_rate}
        rate = detour.RATE if run.outside else rates[run.kind]
        eta = rate * ball.eps * (1 + math.cos(math.pi * run.i / run.length)) / 2
        if sparse:
            x = run_step(task.ball, search.iterate, slope.gradient, run.i, run.length)
        else:
            x = ball.project(ball.ascend(search.iterate, slope.gradient, eta))
        if run.i < run.length - 1:
            return replace(search, iterate=x)
        return _remember(search, x, task.oracle.logits(x, rows, candidate=True), task.goal)


def _leads(gap: Tensor, candidates: int, task: Task) -> Tensor:
    """Return the clean gap over its gradient's dual norm, (A, K), for the classes of largest gap; the rest is low."""
    classes = gap.topk(candidates).indices
    slopes = task.oracle.jacobian(task.x, classes)
    speed = task.ball.dual(slopes.gradients.flatten(0, 1)).view_as(slopes.logit_gaps)
    lowest = torch.full_like(gap, torch.finfo(gap.dtype).min)
    return lowest.scatter(1, classes, slopes.logit_gaps / speed.clamp_min(TINY))


def _remember(search: Search, x: Tensor, logits: Tensor, goal: Goal) -> Search:
    """Keep the largest gap of each class, and the point with the largest gap of all."""
    gap = goal.gaps(logits)
    better = per_example(gap.amax(1) > search.gap.amax(1), x)
    return replace(search, x=where(better, x, search.x), gap=search.gap.maximum(gap))


ALGORITHM = Hopping
