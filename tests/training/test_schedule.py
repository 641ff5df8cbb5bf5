"""Learning rates, update by update."""

from itertools import pairwise
from math import cos, pi

import pytest
import torch
from torch import nn

from robench.specs import Recipe
from robench.training.schedule import schedule


def rates(epochs, batches, **changes):
    """The learning rate of every update."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.5)
    plan = schedule(Recipe(framework="standard", epochs=epochs, batch_size=1, lr=0.5, **changes), optimizer, batches)
    out = []
    for _ in range(epochs * batches):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        plan.step()
    return out


def test_constant():
    assert rates(3, 4, schedule="constant", milestones=[1]) == [0.5] * 12


def test_step_falls_to_a_tenth_at_each_milestone():
    have = rates(5, 3, schedule="step", milestones=[2, 4])
    assert have == pytest.approx([0.5] * 6 + [0.05] * 6 + [0.005] * 3)


def test_cyclic_climbs_over_two_fifths_and_falls_to_zero():
    have = rates(2, 10, schedule="cyclic")
    assert have == pytest.approx([0.5 * u / 8 if u <= 8 else 0.5 * (20 - u) / 12 for u in range(20)])


def test_one_cycle_climbs_over_a_fifth_and_falls_by_a_cosine():
    have = rates(5, 10, schedule="one_cycle")
    top, last, low = 9, 49, 0.5 / 25
    assert have[0] == pytest.approx(low)
    assert all(a < b for a, b in pairwise(have[: top + 1]))
    assert have[top] == pytest.approx(0.5)
    fall = [0.25 * (1 + cos(pi * (u - top) / (last - top))) for u in range(top, last + 1)]
    assert have[top:] == pytest.approx(fall, abs=1e-5)


@pytest.mark.parametrize("updates", range(1, 13))
@pytest.mark.parametrize("name", ["one_cycle", "cyclic", "step", "constant"])
def test_short_schedules(name, updates):
    have = rates(1, updates, schedule=name)
    assert all(0 <= rate <= 0.5 + 1e-9 for rate in have)
