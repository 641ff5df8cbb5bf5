"""Runs of the cascade that begin outside the l2 ball: found points lie in it, other norms know nothing of it."""

from typing import cast

import torch
from torch import nn

from robench.algorithms import bind, detour
from robench.algorithms.hopping import Hopping
from robench.numerics.ball import Ball, distance
from robench.specs import NORMS, find_attack
from tests.support.runs import survives


class Steep(nn.Module):
    """A network that notices only pixels changed by more than 0.5, some more than others; it is flat elsewhere."""

    def forward(self, x):
        change = (x - 0.2).abs().flatten(1)
        seen = ((change - 0.5).clamp_min(0) * 0.5 ** torch.arange(64)).sum(1)
        return torch.stack([torch.full_like(seen, 0.02), seen], 1)


def test_in_l2_a_threshold_on_single_pixels_is_found_from_outside_the_ball(monkeypatch):
    x, y = torch.full((4, 1, 8, 8), 0.2), torch.zeros(4, dtype=torch.long)
    spec = find_attack("cascade").model_copy(update={"steps": 150})
    assert not survives(Steep().eval(), x[:1], y[:1], spec, "l2", 0.6)
    assert survives(Steep().eval(), x, y, spec, "l2", 0.51)  # the first pixel has to change by 0.52
    monkeypatch.setattr(detour, "NORMS", ())
    assert survives(Steep().eval(), x, y, spec, "l2", 0.6)  # inside the ball random points and gradients say nothing


def test_balls_shrink_to_the_allowed_one():
    ball = Ball(torch.full((2, 1, 4, 4), 0.5), "l2", 0.1)
    radii = [detour.widened(ball, i, 4).eps / 0.1 for i in range(6)]
    assert radii[0] == detour.REACH
    assert radii == sorted(radii, reverse=True)
    assert radii[4:] == [1.0, 1.0]
    assert detour.widened(ball, 0, 0) is ball
    outside = detour.widened(ball, 0, 4).project(torch.ones(2, 1, 4, 4))
    assert (distance(outside, ball.center, "l2") > 0.1).all()


def test_only_l2_has_a_new_version_and_the_declared_cost_covers_both():
    cascade = bind(find_attack("cascade"))
    assert [cascade.version_in(norm) for norm in ("linf", "l1", "l2")] == [1, 1, 2]
    hopping = cast(Hopping, cascade)
    for steps, classes in ((5, 10), (12, 100), (30, 2), (100, 10), (457, 100)):
        parts = [hopping._cost(steps, classes, norm) for norm in NORMS]
        assert cascade.cost(steps, classes) == tuple(map(max, *parts))
