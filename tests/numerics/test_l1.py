"""The l1 ball cut by [0, 1]: projection, steepest step and hyperplanes against independent solvers, and edge inputs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from robench.numerics.ball import Ball, distance, onto_hyperplane
from robench.numerics.norms import P_NORMS

ULP = torch.finfo(torch.float64).eps
L1 = P_NORMS["l1"]


def bisected(x: np.ndarray, center: np.ndarray, eps: float) -> np.ndarray:
    """The projection by its optimality conditions: |d| shrinks by one multiplier, found by halving an interval."""
    v = x - center
    room = np.where(v > 0, 1 - center, center)

    def sizes(cut: float) -> np.ndarray:
        return np.clip(np.abs(v) - cut, 0, room)

    low, high = 0.0, float(np.abs(v).max(initial=0.0))
    if sizes(0.0).sum() <= eps:
        return np.sign(v) * sizes(0.0)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if sizes(middle).sum() > eps else (low, middle)
    return np.sign(v) * sizes(high)


walls = st.sampled_from([0.0, 0.5, 1.0]) | st.floats(0, 1, width=32)
anywhere = st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0]) | st.floats(-3, 4, width=32)


@st.composite
def problems(draw):
    """Points, centers and a radius: walls, ties, one pixel, balls beyond the box and tiny ones among them."""
    size = draw(st.integers(1, 12))
    center, x = (draw(st.lists(each, min_size=size, max_size=size)) for each in (walls, anywhere))
    return np.array(x), np.array(center), draw(st.sampled_from([1e-3, 0.5, 1.0, 50.0]) | st.floats(1e-6, 8))


@settings(max_examples=100, deadline=None)
@given(problems())
def test_the_projection_is_the_nearest_point_of_ball_and_box(problem):
    x, center, eps = problem
    shape = (1, 1, 1, len(x))
    found = L1.nearest(torch.tensor(x).view(shape), torch.tensor(center).view(shape), eps).numpy().ravel()
    d = found - center
    # Sums of at most 2 D terms, each at most 4: the multiplier is off by at most D 2 D 4 ulp, and so is each value.
    bound = 8 * len(x) ** 2 * 4 * ULP
    assert np.abs(d - bisected(x, center, eps)).max() <= bound
    assert found.min() >= 0
    assert found.max() <= 1
    assert np.abs(d).sum() <= eps + bound * len(x)
    # No other point z of the set is nearer: (x - found) . (z - found) <= 0, and the best z is a linear program's.
    if (slope := x - found).any():
        room = [(0, high) for high in np.concatenate([1 - center, center])]
        best = linprog(-np.concatenate([slope, -slope]), np.ones((1, 2 * len(x))), [eps], bounds=room)
        assert -best.fun - slope @ d <= 1e-7 * max(1.0, np.abs(slope).sum())  # 1e-7: tolerances of the solver HiGHS


@settings(max_examples=40, deadline=None)
@given(problems())
def test_a_step_and_a_hyperplane_are_the_optima_of_linear_programs(problem):
    w, center, eps = problem
    shape, both = (1, 1, 1, len(w)), np.concatenate([w, -w])
    x, slope = torch.tensor(center).view(shape), torch.tensor(w).view(shape)
    room = [(0, high) for high in np.concatenate([1 - center, center])]
    step = (L1.ascend(x, slope, eps, x, eps) - x).numpy().ravel()
    best = linprog(-both, np.ones((1, len(both))), [eps], bounds=room)
    scale = max(1.0, np.abs(w).sum())
    assert w @ step == pytest.approx(-best.fun, abs=1e-7 * scale)
    assert np.abs(step).sum() <= eps + len(w) * (eps + 2) * ULP
    assert ((center + step >= -1e-15) & (center + step <= 1 + 1e-15)).all()
    change = -best.fun / 2
    if change > 1e-5:
        onto = onto_hyperplane(x, slope, torch.tensor([change], dtype=torch.float64), "l1").numpy().ravel()
        least = linprog(np.ones(len(both)), A_eq=both[None], b_eq=[change], bounds=room)
        assert w @ onto == pytest.approx(change, rel=1e-9)
        assert np.abs(onto).sum() == pytest.approx(least.fun, abs=1e-6 * max(1.0, eps))


def test_rounding_to_float32_never_leaves_the_ball():
    """A hundred and fifty thousand values: a rounding of each outwards would add up to more than the tolerance."""
    source = torch.Generator().manual_seed(0)
    center = torch.rand(2, 3, 224, 224, generator=source)
    for far in (1.0, 1e-3):
        point = Ball(center, "l1", 12.0).project(center + far * torch.randn(center.shape, generator=source))
        length = distance(point, center, "l1")
        assert (length <= 12 * (1 + 150_528 * ULP)).all()
        assert (length >= 12 - 150_528 * 2**-24).all()
        assert point.min() >= 0
        assert point.max() <= 1


def test_a_projection_changes_no_point_of_the_ball_and_no_fixed_value():
    source = torch.Generator().manual_seed(1)
    center = torch.rand(30, 2, 4, 4, generator=source)
    mask = torch.rand(center.shape, generator=source) < 0.5
    ball = Ball(center, "l1", 1.0, mask)
    inside = ball.project(center + torch.randn(center.shape, generator=source))
    assert ball.keeps_fixed(inside).all()
    assert torch.allclose(distance(inside, center, "l1"), torch.tensor(1.0, dtype=torch.float64), rtol=2e-6)
    assert (distance(ball.project(inside), inside, "l1") <= 32 * 2**-24).all()
    draws = ball.draws(
        lambda shape: torch.rand(30, *shape, generator=source), lambda shape: torch.randn(30, *shape, generator=source)
    )
    points = ball.random_point(*draws)
    assert ball.keeps_fixed(points).all()
    assert (distance(points, center, "l1") <= 1).all()


def test_edge_inputs():
    black, slope = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    ball = Ball(black, "l1", 1.5)
    assert torch.equal(ball.ascend(black, slope, 1.0), black)  # no slope, no step
    assert torch.equal(ball.steepest(slope), slope)
    assert torch.equal(ball.ascend(black, slope - 1, 1.0), black)  # towards the wall at which all pixels are
    assert torch.equal(ball.project(black - 1), black)
    assert distance(ball.ascend(black, slope + 1, 1.5), black, "l1").item() == 1.5  # ties
    assert torch.equal(ball.project(black + 9), torch.full_like(black, 0.375))
    whole = Ball(black, "l1", 40.0)  # more than the box
    assert torch.equal(whole.project(black + 9), black + 1)
    assert torch.equal(whole.ascend(black, slope + 1, 40.0), black + 1)
    assert torch.equal(onto_hyperplane(black, slope + 1, torch.tensor([9.0]), "l1"), black + 1)  # out of reach
    assert torch.equal(onto_hyperplane(black, slope, torch.tensor([1.0]), "l1"), black)
    pixel = torch.full((1, 1, 1, 1), 0.25)
    assert Ball(pixel, "l1", 0.5).project(pixel + 3).item() == 0.75
