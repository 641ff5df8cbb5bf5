"""One attack on one chunk of examples: the loop, the bounds, the early stop, the restarts.

The chunk advances together; only examples that are not yet broken are computed, packed by the oracle
into full micro-batches. An example leaves the moment the judge confirms its candidate.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from robench.access.answers import ALLOWED
from robench.access.closest import Closest
from robench.access.judge import CONFIRMED, FAULTS, NOT_MISCLASSIFIED, Judge, JudgeResult
from robench.access.microbatches import MicroBatcher
from robench.access.oracle import Oracle
from robench.access.stochastic import JUDGE_DRAWS, Draws
from robench.algorithms import Algorithm, ReferenceExamples, State, Task, take
from robench.classifiers.frozen import FrozenNetwork
from robench.devices import release, sent
from robench.engine.checkpoint import Position
from robench.engine.saving import Saver
from robench.numerics.ball import Ball
from robench.numerics.randomness import ExampleRandom
from robench.numerics.stats import clear_majority
from robench.specs import AttackSpec, ThreatModel
from robench.specs.settings import Precision
from robench.store import Rows

VERSION = 1
"""Version, raised when a change to the engine, the judge, the oracle, the losses or the noise can alter verdicts."""
LATE = 0.1
"""An attack that makes more than this share of its gain in the last quarter of its steps has not converged."""
OnStep = Callable[[int, int, int], None]
"""Callback that gets the restart, the step and the number of examples still under attack."""


class CraftedExamples:
    """Adversarial examples crafted on other networks, found by the ids of their clean examples.

    Args:
        ids: int64 (N,).
        points: (N, C, H, W).
    """

    def __init__(self, ids: Tensor, points: Tensor) -> None:
        self.place = {i: at for at, i in enumerate(ids.tolist())}
        self.points = points

    def of(self, ids: Tensor) -> Tensor:
        """Return the points crafted from some examples, on the device of `ids`."""
        at = torch.tensor([self.place[i] for i in ids.tolist()], dtype=torch.int64)
        return self.points[at].to(ids.device)


@dataclass(frozen=True)
class Job:
    """Work of an attack, the same for every chunk."""

    network: FrozenNetwork
    algorithm: Algorithm[Any]
    spec: AttackSpec
    threat: ThreatModel
    seed: int
    precision: Precision
    batcher: MicroBatcher
    keep_adversarial: bool = False
    references: ReferenceExamples | None = None
    crafted: "CraftedExamples | None" = None
    draws: Draws | None = None
    """The randomness of the network, if it is random."""


@dataclass(frozen=True)
class Chunk:
    """Examples to attack: x (N, C, H, W), and y, ids, clean predictions and target classes, all int64 (N,).

    Without targets, any prediction but the label is a success. The mask, bool (N, C, H, W), tells which values may
    change; without a mask, all may.
    """

    x: Tensor
    y: Tensor
    ids: Tensor
    clean: Tensor
    target: Tensor | None = None
    mask: Tensor | None = None
    right: Tensor | None = None
    """Number of the judge's draws that gave the label, int64 (N,), if the network is random."""

    def __len__(self) -> int:
        return len(self.x)

    def take(self, rows: Tensor) -> "Chunk":
        """Return some of the examples."""
        some = (None if each is None else each[rows] for each in (self.target, self.mask, self.right))
        return Chunk(self.x[rows], self.y[rows], self.ids[rows], self.clean[rows], *some)

    def to(self, device: torch.device) -> "Chunk":
        """Return the chunk on a device."""
        some = (None if each is None else sent(each, device) for each in (self.target, self.mask, self.right))
        x, y, ids, clean = (sent(each, device) for each in (self.x, self.y, self.ids, self.clean))
        return Chunk(x, y, ids, clean, *some)


@dataclass
class AttackState:
    """Results of a chunk so far, while it is attacked; every tensor is (N,) except `points`; see `Rows`."""

    broken: Tensor
    first_fault: Tensor
    prediction: Tensor
    restart: Tensor
    step: Tensor
    queries: Tensor
    distance: Tensor
    points: Tensor
    right: Tensor | None = None
    faults: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> Tensor:
        """Mask of the examples that are attacked no more, bool (N,): the broken ones.

        On a random network, an example that draws may have broken stays: the attack goes on until the draws are clear.
        """
        if self.right is None:
            return self.broken
        return self.broken & (self.right <= JUDGE_DRAWS - clear_majority(JUDGE_DRAWS))


class Finished(NamedTuple):
    """Result of an attack on a chunk.

    Attributes:
        rows: one row per example, in the chunk's order.
        faults: how often each fault of the algorithm was seen.
        measures: counts for the diagnostics (see `AttackRun.measures`).
        final_points: last iterates of the correctly classified examples, (A, C, H, W); of broken examples, the
            points that broke them.
    """

    rows: Rows
    faults: Counter[str]
    measures: Counter[str]
    final_points: Tensor


def attack_chunk(job: Job, chunk: Chunk, judge: Judge, on_step: OnStep, saver: Saver | None = None) -> Finished:
    """Attack the correctly classified examples of a chunk, from where `saver` has them if they were interrupted.

    Raises:
        InputError: the network returns NaN or infinity, or has no gradient where one is needed.
    """
    release()  # memory of the probe or of the previous chunk
    alive = (chunk.clean == chunk.y).nonzero().flatten()
    attacked = chunk.take(alive)
    run = AttackRun(job, attacked, judge, on_step)
    run.run_all(saver)
    return Finished(_rows(job, chunk, alive, run), run.attack_state.faults, run.measures(), run.final_points)


class AttackRun:
    """The loop over restarts and steps for one chunk of correctly classified examples."""

    def __init__(self, job: Job, chunk: Chunk, judge: Judge, on_step: OnStep) -> None:
        self.job, self.chunk, self.judge, self.on_step = job, chunk, judge, on_step
        self.algorithm = job.algorithm
        self.ball = Ball(chunk.x, job.threat.norm, job.threat.eps, chunk.mask)
        self.oracle = Oracle(
            job.network,
            self.ball,
            chunk.y,
            chunk.ids,
            access=job.spec.access,
            bounds=self.algorithm.bounds,
            batcher=job.batcher,
            precision="fp32" if self.algorithm.needs_fp32 else job.precision,
            target=chunk.target,
            draws=job.draws,
        )
        absent = torch.full_like(chunk.y, -1)
        self.attack_state = AttackState(
            broken=torch.zeros_like(chunk.y, dtype=torch.bool),
            first_fault=absent.clone(),
            prediction=chunk.clean.clone(),
            restart=absent.clone(),
            step=absent.clone(),
            queries=absent.clone(),
            distance=torch.full_like(chunk.y, float("nan"), dtype=torch.float64),
            points=chunk.x.clone(),
            right=None if chunk.right is None else chunk.right.clone(),
        )
        self.claims = 0
        self.final_points = self.attack_state.points.clone()
        self.margin_at_75pct = self.oracle.nearest

    def measures(self) -> Counter[str]:
        """Return counts for the diagnostics, to be added up over chunks.

        `slopes`: gradients; `flat`: zero gradients; `opaque`: chunks attacked by another library; `claims`: points
        that the judge ruled on; `survivors`: examples not broken; `slipped`: survivors misclassified while only the
        last iterate counted; `followed`: survivors whose margin was followed; `gaining`: followed survivors for which
        the last quarter of the last restart's steps brought more than a tenth of the whole gain.
        """
        oracle, robust = self.oracle, ~self.attack_state.broken
        followed = robust & oracle.nearest.isfinite() & self.margin_at_75pct.isfinite()
        gain = oracle.first - oracle.nearest
        gaining = followed & (self.margin_at_75pct - oracle.nearest > LATE * gain)
        return Counter(
            slopes=oracle.slopes,
            flat=oracle.flat,
            opaque=int(oracle.external),
            claims=self.claims,
            survivors=int(robust.sum()),
            slipped=int((robust & oracle.missed_success).sum()),
            followed=int(followed.sum()),
            gaining=int(gaining.sum()),
        )

    def run_all(self, saver: Saver | None = None) -> None:
        """Run all restarts, or those that are left if the attack was interrupted."""
        begin = saver.restore(self) if saver else None
        for restart in range(begin.restart if begin else 0, self.job.spec.restarts):
            rows = (~self.attack_state.left).nonzero().flatten()
            if not len(rows):
                break
            self.oracle.active = rows
            self._run_restart(restart, self._task(restart, rows), saver, begin)
            begin = None
        if self.oracle.closest:
            self._judge_closest(self.oracle.closest)
        if self.job.draws and not self.job.draws.repeats:
            self._judge_again()

    def _run_restart(self, restart: int, task: Task, saver: Saver | None, begin: Position[Any] | None) -> None:
        """Run all steps of one restart, or those that are left.

        A success is recorded under the number of steps that it took: the steps before step t, because step t checks
        their iterate; if step t checks its own proposals, step t counts as well.
        """
        any_counts = self.job.spec.success == "any"
        own_proposals_checked = self.algorithm.checks_own_proposals and any_counts
        state: State = begin.state if begin else self._bounded(self.algorithm.init(task), task)
        for t in range(begin.step if begin else 0, self.job.spec.steps):
            self.oracle.watching, self.oracle.step = any_counts, t
            if t == 3 * self.job.spec.steps // 4:
                self.margin_at_75pct = self.oracle.nearest.clone()
            self.on_step(restart, t, len(task.y))
            state = self._bounded(self.algorithm.step(state, t, task), task)
            state, task = self._judge_pending(restart, t + own_proposals_checked, state, task)
            if not len(task.y):
                return
            if saver:
                saver.between_steps(self, restart, t + 1, state)
        if own_proposals_checked:
            return
        self.oracle.watching, self.oracle.step = True, self.job.spec.steps
        self._look_at_last(state, task)
        self._judge_pending(restart, self.job.spec.steps, state, task)

    def _look_at_last(self, state: State, task: Task) -> None:
        look = self.oracle.logits if "score" in ALLOWED[self.job.spec.access] else self.oracle.labels
        look(state.x, candidate=True)
        self.final_points[self.oracle.active] = task.ball.restore(state.x)

    def _judge_closest(self, closest: Closest) -> None:
        """Let the judge rule on the best point of every survivor, because the draws of an attack may hide a success."""
        rows = (~self.attack_state.broken & closest.margin.isfinite()).nonzero().flatten()
        self.oracle.points[rows], self.oracle.queries[rows] = closest.points[rows], self.oracle.forwards[rows]
        if len(rows):
            self._enter(rows, self._rule(rows, all_draws=True), self.job.spec.restarts - 1, self.job.spec.steps)

    def _judge_again(self) -> None:
        """Count the right answers to every broken example again, with draws that did not choose the point."""
        rows = self.attack_state.broken.nonzero().flatten()
        self.oracle.points[rows] = self.attack_state.points[rows]
        right = self._rule(rows, all_draws=True).right if len(rows) else None
        if self.attack_state.right is not None and right is not None:
            self.attack_state.right[rows] = right

    def _judge_pending(self, restart: int, t: int, state: State, task: Task) -> tuple[State, Task]:
        """Let the judge rule on pending candidates; confirmed examples leave."""
        rows = self.oracle.pending()
        if not len(rows):
            return state, task
        judged = self._rule(rows, all_draws=self.oracle.external)
        self.claims += len(rows)
        self._record_faults(rows, judged, t)
        self._enter(rows, judged, restart, t)
        self.oracle.clear_pending()
        stay = (~self.attack_state.left[self.oracle.active]).nonzero().flatten()
        if len(stay) == len(task.y):
            return state, task
        self.oracle.keep(stay)
        return take(state, stay), task.take(stay)

    def _rule(self, rows: Tensor, *, all_draws: bool = False) -> JudgeResult:
        """Let the judge rule on the points that the oracle remembers for some examples."""
        ball, points, ids = self.ball.take(rows), self.oracle.points[rows], self.chunk.ids[rows]
        return self.judge.rule(ball, points, *self.oracle.labels_of(rows), ids=ids, all_draws=all_draws)

    def _enter(self, rows: Tensor, judged: JudgeResult, restart: int, t: int) -> None:
        """Enter the confirmed successes into the results; on a random network also the shares of right answers.

        A broken example whose attack goes on keeps its first step and takes the point that more draws get wrong.
        """
        attack_state, points, won = self.attack_state, self.oracle.points[rows], judged.confirmed
        new = won & ~attack_state.broken[rows]
        if attack_state.right is not None and judged.right is not None and judged.complete is not None:
            won = won & (new | (judged.right < attack_state.right[rows]))
            known = won | (judged.complete & ~attack_state.broken[rows])
            attack_state.right[rows[known]] = judged.right[known]
        first, done = rows[new], rows[won]
        attack_state.broken[first] = True
        if self.oracle.closest:
            self.oracle.closest.broken[first] = True
        attack_state.restart[first], attack_state.step[first] = restart, t
        attack_state.queries[first] = self.oracle.queries[first]
        attack_state.prediction[done], attack_state.distance[done] = judged.prediction[won], judged.distance[won]
        attack_state.points[done] = self.final_points[done] = points[won]

    def _record_faults(self, rows: Tensor, judged: JudgeResult, t: int) -> None:
        """Record candidates that the judge did not confirm; errors of rounding, precision and draws are no faults."""
        exact = self.job.precision == "fp32" and self.job.draws is None
        rounding = judged.tied if exact else judged.fault >= NOT_MISCLASSIFIED
        blamed = (judged.fault != CONFIRMED) & ~rounding
        fresh = rows[blamed & (self.attack_state.first_fault[rows] < 0)]
        self.attack_state.first_fault[fresh] = t
        self.attack_state.faults.update(FAULTS[code] for code in judged.fault[blamed].tolist())

    def _bounded(self, state: State, task: Task) -> State:
        return replace(state, x=task.ball.project(state.x)) if self.algorithm.bounds == "engine" else state

    def _task(self, restart: int, rows: Tensor) -> Task:
        network, chunk = self.job.network, self.chunk.take(rows)
        ids = tuple(chunk.ids.tolist())
        random = ExampleRandom(self.job.seed, self.job.spec.stream, ids, restart, chunk.x.device)
        ball, job = self.ball.take(rows), self.job
        crafted = job.crafted.of(chunk.ids) if job.crafted else None
        return Task(
            x=chunk.x,
            y=chunk.y,
            ball=ball,
            random=random,
            oracle=self.oracle,
            scale=network.scale,
            margin=network.margin,
            steps=job.spec.steps,
            references=job.references,
            crafted=crafted,
            target_class=chunk.target,
        )


def _drawn(clean: Tensor, alive: Tensor, attacked: Tensor | None) -> np.ndarray:
    """Return how many draws gave the label, with the counts of the attacked examples in their places."""
    return (clean if attacked is None else clean.index_copy(0, alive, attacked)).cpu().numpy()


def _rows(job: Job, chunk: Chunk, alive: Tensor, run: AttackRun) -> Rows:
    """Write the results of the attacked examples into rows for the whole chunk."""
    attack_state, oracle, where = run.attack_state, run.oracle, alive.cpu().numpy()

    def spread(values: Tensor, rest: Tensor | float) -> np.ndarray:
        whole = torch.full_like(chunk.y, 0, dtype=values.dtype) + rest
        whole[alive] = values
        return whole.cpu().numpy()

    broken = attack_state.broken.cpu().numpy()
    adversarial = np.full(len(chunk), None, dtype=object)
    if job.keep_adversarial:
        points = attack_state.points.cpu().numpy().astype("<f4")
        for row in np.flatnonzero(broken):
            adversarial[where[row]] = points[row].tobytes()
    robust = np.zeros(len(chunk), dtype=bool)
    robust[where] = ~broken
    first_fault = spread(attack_state.first_fault, -1)
    return Rows(
        id=chunk.ids.cpu().numpy(),
        label=chunk.y.cpu().numpy(),
        clean_prediction=chunk.clean.cpu().numpy(),
        prediction=spread(attack_state.prediction, chunk.clean),
        robust=robust,
        valid=~robust | (first_fault < 0),
        first_fault=first_fault,
        restart=spread(attack_state.restart, 0),
        step=spread(attack_state.step, 0),
        queries=spread(attack_state.queries, 0),
        forwards=spread(oracle.forwards, 0),
        backwards=spread(oracle.backwards, 0),
        distance=spread(attack_state.distance, float("nan")),
        adversarial=adversarial,
        right=np.empty(0, np.int64) if chunk.right is None else _drawn(chunk.right, alive, attack_state.right),
    )
