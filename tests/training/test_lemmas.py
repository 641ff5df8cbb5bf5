"""The appendix's lemmas as properties."""

from math import prod

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robench.classifiers import HypersphereHead, LinearHead
from robench.numerics.ball import Ball
from robench.numerics.losses import cross_entropy, log_odds
from robench.training.frameworks.trades import divergence
from tests.support.table1 import (
    CLASSES,
    FEATURES,
    HEADS,
    SHAPE,
    images,
    network,
)

heads = pytest.mark.parametrize("spec", HEADS.values(), ids=HEADS)


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_lemma_1_steepest_ascent_gains_eps_times_the_dual_norm(norm, dual):
    draws = np.random.default_rng(1)
    g = draws.standard_normal((400, *SHAPE)) * 10 ** draws.uniform(-12, 6, (400, 1, 1, 1))
    g[draws.random(g.shape) < 0.3] = 0
    g[0] = 0
    eps = float(draws.uniform(0.001, 5))
    flat = g.reshape(400, -1)
    best = eps * (np.abs(flat) ** dual).sum(1) ** (1 / dual)
    up = Ball(torch.zeros(400, *SHAPE, dtype=torch.float64), norm, eps).steepest(torch.from_numpy(g)).numpy()
    up, length = up.reshape(400, -1), {"linf": np.inf, "l2": 2}[norm]
    assert np.linalg.norm(up, length, axis=1).max() <= 1 + 1e-12
    np.testing.assert_allclose(eps * (up * flat).sum(1), best, rtol=1e-12)
    for spread in (1e-3, 0.1, 1.0, 10.0):  # no other point of the ball gains more
        other = up + spread * draws.standard_normal((50, *up.shape))
        other /= np.maximum(1, np.linalg.norm(other, length, axis=2, keepdims=True))
        assert (eps * (other * flat).sum(2) <= best * (1 + 1e-12)).all()


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_lemma_1_holds_to_first_order_for_a_network(norm, dual):
    """L(x + t U) = L(x) + t |gradient|_q + O(t^2): a tenth of t leaves a hundredth of the error."""
    model, (x, y) = network(HEADS["he"]).double(), images()
    x = x.double().requires_grad_()
    loss = cross_entropy(HEADS["he"].scale * model(x), y)
    (g,) = torch.autograd.grad(loss.sum(), x)
    errors = []
    for t in (1e-3, 1e-4):
        moved = cross_entropy(HEADS["he"].scale * model(x + t * Ball(x, norm, t).steepest(g)), y)
        errors.append((moved - loss - t * g.flatten(1).norm(dual, dim=1)).detach().abs())
    assert (errors[0] < 1e-2).all()
    assert (errors[1] < errors[0] / 50).all()


class Curved(nn.Module):
    def __init__(self):
        super().__init__()
        self.map, self.features = nn.Linear(prod(SHAPE), FEATURES), FEATURES

    def forward(self, x):
        return torch.tanh(self.map(x.flatten(1)))


@heads
@pytest.mark.parametrize("seed", range(8))
def test_lemma_2_gradient_of_cross_entropy_is_a_sum_over_pairs(spec, seed):
    """Of soft labels f(x), which TRADES ascends, and of a hard label; W_ij z' is the difference of two logits."""
    model, s = network(spec, Curved, seed).double(), spec.scale
    assert isinstance(model.head, LinearHead if spec.kind == "linear" else HypersphereHead)
    x, y = images(3, seed)
    clean, moved = model(x.double()).detach(), images(3, seed + 100)[0].double().requires_grad_()
    z = model(moved)
    f, g = torch.softmax(s * clean, 1), torch.softmax(s * z, 1).detach()
    slope = torch.stack(
        [torch.autograd.grad(s * z[:, i].sum(), moved, retain_graph=True)[0] for i in range(CLASSES)], 1
    )
    soft, hard = torch.zeros_like(moved), torch.zeros_like(moved)
    for n in range(3):
        for i in range(CLASSES):
            for j in range(CLASSES):
                pair = slope[n, i] - slope[n, j]
                soft[n] -= f[n, i] * g[n, j] * pair if i != j else 0
                hard[n] -= g[n, j] * pair if i == y[n] and j != i else 0

    def gradient(loss):
        return torch.autograd.grad(loss.sum(), moved, retain_graph=True)[0]

    torch.testing.assert_close(gradient(-(f * F.log_softmax(s * z, 1)).sum(1)), soft, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient(divergence(clean, z, s)), soft, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradient(cross_entropy(s * z, y)), hard, rtol=1e-9, atol=1e-12)
    odds = gradient(log_odds(s * z, y)) * (1 - g[torch.arange(3), y])[:, None, None, None]
    torch.testing.assert_close(odds, hard, rtol=1e-9, atol=1e-12)
