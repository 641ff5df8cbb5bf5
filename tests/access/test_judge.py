"""Algorithms that lie are caught and named, and nothing they claim is counted."""

from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from robench.access.judge import Judge
from robench.access.microbatches import MicroBatcher
from robench.algorithms import Algorithm, State
from robench.classifiers.frozen import frozen_network
from robench.engine.loop import Chunk, Job, attack_chunk
from robench.numerics.ball import Ball, finite, in_box
from robench.specs import AttackSpec, ThreatModel
from robench.specs.settings import Precision
from tests.support.networks import CPU

THREAT = ThreatModel.parse("linf", "0.1")
SPEC = AttackSpec(name="liar", algorithm="liar", steps=2, about="", cite="")


class Threshold(nn.Module):
    """Class 1 where the mean pixel is above a half."""

    def forward(self, x):
        f = x.flatten(1).mean(1) - 0.5
        return torch.stack([-f, f], 1)


@dataclass(frozen=True)
class Claims(Algorithm):
    """Claims the same point as a success for everybody."""

    points: torch.Tensor
    bounds = "own"

    def init(self, task):
        return State(task.x)

    def step(self, state, t, task):
        if t == 0:
            task.oracle.submit(self.points.expand_as(task.x))
        return state


@dataclass(frozen=True)
class Returns(Claims):
    """Hands the point over as its last iterate, as an opaque library does."""

    def step(self, state, t, task):
        return replace(state, x=self.points.expand_as(task.x))


def attack(algorithm: Algorithm, x: float = 0.45, spec: AttackSpec = SPEC, precision: Precision = "fp32"):
    images = torch.full((3, 1, 2, 2), x)
    y = torch.tensor([0, 0, 1])  # the third is misclassified clean
    with frozen_network(Threshold().eval(), CPU) as frozen:
        job = Job(frozen, algorithm, spec, THREAT, 0, precision, MicroBatcher(2), keep_adversarial=True)
        clean = frozen.module(images).argmax(1)
        return attack_chunk(
            job, Chunk(images, y, torch.tensor([7, 8, 9]), clean), Judge(frozen, job.batcher), lambda *_: None
        )


@pytest.mark.parametrize("kind", [Claims, Returns])
@pytest.mark.parametrize(
    ("value", "fault"),
    [(0.9, "outside the ball"), (1.1, "outside [0, 1]"), (float("nan"), "not finite"), (float("inf"), "not finite")],
)
def test_liar_is_named_and_not_counted(kind, value, fault):
    rows, faults, *_ = attack(kind(torch.tensor(value)))
    assert list(faults) == [fault]
    assert faults[fault] >= 2
    assert rows.robust.tolist() == [True, True, False]
    assert rows.valid.tolist() == [False, False, True]
    assert rows.step.tolist() == [-1, -1, 0]


def test_claim_that_is_not_misclassified_is_named():
    rows, faults, *_ = attack(Claims(torch.tensor(0.46)))
    assert dict(faults) == {"not misclassified": 2}
    assert rows.robust.tolist() == [True, True, False]


def test_a_search_in_low_precision_may_be_mistaken_without_blame():
    rows, faults, *_ = attack(Claims(torch.tensor(0.46)), precision="bf16")
    assert not faults
    assert rows.valid.all()
    assert rows.robust.tolist() == [True, True, False]


@pytest.mark.parametrize("kind", [Claims, Returns])
def test_honest_claim_is_counted(kind):
    rows, faults, *_ = attack(kind(torch.tensor(0.52)))
    assert not faults
    assert rows.robust.tolist() == [False, False, False]
    assert rows.prediction.tolist() == [1, 1, 0]
    assert rows.distance[:2] == pytest.approx(0.07, abs=1e-6)
    assert rows.valid.all()
    assert rows.adversarial[2] is None


def test_success_on_the_way_counts_only_under_any():
    @dataclass(frozen=True)
    class Passing(Algorithm):
        """Misclassified in the middle, back at the end."""

        def init(self, task):
            return State(task.x)

        def step(self, state, t, task):
            task.oracle.logits(state.x, candidate=True)
            return State(torch.full_like(task.x, 0.52 if t == 0 else 0.45))

    any_rows, *_ = attack(Passing())
    last_rows, *_ = attack(Passing(), spec=SPEC.model_copy(update={"success": "last"}))
    assert any_rows.robust.tolist() == [False, False, False]
    assert any_rows.step.tolist() == [1, 1, 0]
    assert last_rows.robust.tolist() == [True, True, False]


def test_minimum_norm_algorithm_may_leave_the_ball_on_the_way():
    @dataclass(frozen=True)
    class Shrinking(Algorithm):
        """Starts far outside and comes closer."""

        bounds = "none"

        def init(self, task):
            return State(torch.full_like(task.x, 0.8))

        def step(self, state, t, task):
            task.oracle.logits(state.x, candidate=True)
            return State(torch.full_like(task.x, 0.53))

    rows, faults, *_ = attack(Shrinking())
    assert not faults
    assert rows.robust.tolist() == [False, False, False]
    assert rows.step.tolist() == [1, 1, 0]


def test_the_engine_projects_what_it_bounds():
    @dataclass(frozen=True)
    class Jumps(Algorithm):
        def init(self, task):
            return State(task.x + 5)

        def step(self, state, t, task):
            assert task.ball.contains(state.x).all()
            task.oracle.logits(state.x, candidate=True)
            return State(state.x + 5)

    rows, faults, *_ = attack(Jumps())
    assert not faults
    assert rows.distance[:2] == pytest.approx(0.1, abs=1e-6)


def test_more_access_than_declared_raises():
    from robench.errors import FaultError

    @dataclass(frozen=True)
    class Peeks(Algorithm):
        def init(self, task):
            return State(task.x)

        def step(self, state, t, task):
            task.oracle.gradient(state.x, task.objective("ce", 1, 0))
            return state

    for access in ("score", "decision"):
        with pytest.raises(FaultError, match="asked for a gradient"):
            attack(Peeks(), spec=SPEC.model_copy(update={"access": access}))


@pytest.mark.parametrize(
    ("norm", "off", "inside"),
    [("linf", 5e-7, True), ("linf", 2e-6, False), ("l2", 0.1 * 5e-6, True), ("l2", 0.1 * 2e-5, False)],
)
def test_the_tolerance_of_the_ball(norm, off, inside):
    center = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    point = torch.full_like(center, 0.1 + off)
    assert bool(Ball(center, norm, 0.1).contains(point)) is inside


def test_eight_bit_neighbours_at_8_255_are_inside():
    """x + 8/255 on the 8-bit grid exceeds eps by up to 2.7e-8 in float32."""
    grid = (torch.arange(248) / 255).view(-1, 1, 1, 1)
    moved = ((torch.arange(248) + 8) / 255).view(-1, 1, 1, 1)
    assert Ball(grid, "linf", 8 / 255).contains(moved).all()
    assert not Ball(grid, "linf", 0.031).contains(moved).any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("place", [0, 1, 7, 8, 500, 3070, 3071])
@pytest.mark.parametrize(
    ("value", "is_finite", "inside"),
    [
        (float("nan"), False, False),
        (float("inf"), False, False),
        (-float("inf"), False, False),
        (-0.01, True, False),
        (1.01, True, False),
        (0.0, True, True),
        (1.0, True, True),
    ],
)
def test_one_value_anywhere_decides(dtype, place, value, is_finite, inside):
    x = torch.full((3, 3, 32, 32), 0.5, dtype=dtype)
    x[1].view(-1)[place] = value
    assert finite(x).tolist() == [True, is_finite, True]
    assert in_box(x).tolist() == [True, inside, True]
    assert finite(x[:0]).tolist() == in_box(x[:0]).tolist() == []
