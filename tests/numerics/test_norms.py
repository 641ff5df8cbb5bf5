"""Every norm keeps what the classes promise; a new one is swept by these tests as soon as it is declared."""

import math

import numpy as np
import pytest
import torch

from robench.errors import InputError
from robench.numerics.ball import Ball
from robench.numerics.norms import P_NORMS
from robench.specs import NORMS, ORDERS, ThreatModel
from robench.specs.threat import LARGEST

SHAPE = (3, 4, 5)
DUALS = {np.inf: 1, 2.0: 2, 1.0: np.inf}


def images(n=50, seed=0):
    return torch.rand(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def normals(n=50, seed=1):
    return torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(seed))


def test_every_declared_norm_has_its_class_and_its_numbers():
    assert set(NORMS) == P_NORMS.keys() == ORDERS.keys() == LARGEST.keys()


@pytest.mark.parametrize("norm", NORMS)
def test_distances_and_duals_are_those_of_numpy(norm):
    a, b = images(), images(seed=2)
    flat = (a.double() - b.double()).flatten(1).numpy()
    assert np.allclose(P_NORMS[norm].distance(a, b), np.linalg.norm(flat, ORDERS[norm], axis=1), rtol=1e-12)
    dual = np.linalg.norm(flat, DUALS[ORDERS[norm]], axis=1)
    assert np.allclose(P_NORMS[norm].dual(a.double() - b.double()), dual, rtol=1e-12)


@pytest.mark.parametrize("norm", NORMS)
def test_the_steepest_direction_has_length_one_and_grows_as_fast_as_the_dual_norm_says(norm):
    gradient, geometry = normals().double(), P_NORMS[norm]
    up = geometry.steepest(gradient)
    assert torch.allclose(geometry.distance(up, torch.zeros_like(up)), torch.ones(50, dtype=torch.float64))
    assert torch.allclose((up * gradient).flatten(1).sum(1), geometry.dual(gradient))


@pytest.mark.parametrize("norm", NORMS)
def test_projection_shortens_only_what_is_too_long(norm):
    geometry, delta = P_NORMS[norm], 0.1 * normals().double()
    length = geometry.distance(delta, torch.zeros_like(delta))
    eps = length.median().item()
    projected = geometry.project(delta, eps)
    after = geometry.distance(projected, torch.zeros_like(delta))
    assert torch.allclose(after, length.clamp_max(eps))
    inside = length < (1 - 1e-9) * eps
    assert inside.any() and torch.equal(projected[inside], delta[inside])


@pytest.mark.parametrize("norm", NORMS)
def test_random_points_lie_in_the_ball_and_fill_it(norm):
    x, source = torch.full((4000, 1, 1, 2), 0.5), torch.Generator().manual_seed(3)
    ball = Ball(x, norm, 0.4)
    draws = ball.draws(
        lambda shape: torch.rand(4000, *shape, generator=source),
        lambda shape: torch.randn(4000, *shape, generator=source),
    )
    points = ball.random_point(*draws)
    assert ball.contains(points).all()
    share = (P_NORMS[norm].distance(points, x) <= 0.2).double().mean().item()
    assert abs(share - 0.25) < 4 * math.sqrt(0.25 * 0.75 / len(x))  # half the radius of a ball of two dimensions


@pytest.mark.parametrize("norm", NORMS)
def test_the_eps_of_the_whole_box_allows_the_farthest_corner_and_no_less_does(norm):
    geometry, black = P_NORMS[norm], torch.zeros(1, *SHAPE)
    eps = geometry.whole_box(SHAPE)
    assert geometry.distance(black, torch.ones_like(black)).item() == pytest.approx(eps, abs=0, rel=1e-12)
    assert torch.equal(geometry.project(torch.ones_like(black), eps), torch.ones_like(black))


@pytest.mark.parametrize("norm", NORMS)
def test_the_tolerance_is_small_beside_eps_and_never_zero(norm):
    for eps in (0.01, LARGEST[norm]):
        assert 0 < P_NORMS[norm].tolerance(eps) <= 1e-4 * eps


@pytest.mark.parametrize("norm", NORMS)
def test_an_eps_above_the_largest_is_refused(norm):
    assert ThreatModel.parse(norm, LARGEST[norm]).eps == LARGEST[norm]
    with pytest.raises(InputError, match="too large"):
        ThreatModel.parse(norm, 1.001 * LARGEST[norm])
