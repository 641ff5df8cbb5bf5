"""Losses against float64 references, and where well-known implementations fail."""

import numpy as np
import pytest
import torch

from robench.numerics.losses import Objective, cross_entropy, he_cross_entropy, log_odds, margin

UNTARGETED = ["ce", "ce_scaled", "he_margin", "margin", "probability_margin"]


def cosines(seed: int = 0, n: int = 64, k: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.rand(n, k, generator=generator) * 2 - 1
    return logits, torch.randint(k, (n,), generator=generator)


def reference(logits: np.ndarray, y: np.ndarray, s: float, m: float) -> tuple[np.ndarray, np.ndarray]:
    """Eq. (6) and its gradient in float64, from the definition."""
    onehot = np.eye(logits.shape[1])[y]
    inside = s * (logits - m * onehot)
    p = np.exp(inside - inside.max(1, keepdims=True))
    others = (p * (1 - onehot)).sum(1)
    loss = np.log1p(others / (p * onehot).sum(1)) if (p * onehot).sum(1).all() else None
    p = p / p.sum(1, keepdims=True)
    wrong = (p * (1 - onehot)).sum(1, keepdims=True)
    return loss, s * np.where(onehot == 1, -wrong, p)


@pytest.mark.parametrize(("s", "m"), [(1, 0), (15, 0), (15, 0.2), (100, 0.2)])
def test_he_loss_and_gradient_equal_float64(s, m):
    logits, y = cosines()
    logits.requires_grad_()
    loss = he_cross_entropy(logits, y, s, m)
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    expected, slope = reference(logits.detach().double().numpy(), y.numpy(), s, m)
    assert torch.isfinite(loss).all()
    np.testing.assert_allclose(loss.detach().numpy(), expected, rtol=2e-5)
    np.testing.assert_allclose(gradient.numpy(), slope, rtol=2e-4, atol=1e-37)


def test_confident_examples_keep_an_exact_gradient_where_log_softmax_loses_it():
    logits = torch.tensor([[1.0, -1.0, -0.9]], requires_grad=True)
    y = torch.tensor([0])
    (ours,) = torch.autograd.grad(he_cross_entropy(logits, y, 20.0, 0.0).sum(), logits)
    (theirs,) = torch.autograd.grad(torch.nn.functional.cross_entropy(20.0 * logits, y), logits)
    _, exact = reference(logits.detach().double().numpy(), y.numpy(), 20.0, 0.0)
    np.testing.assert_allclose(ours.numpy(), exact, rtol=1e-5)
    assert theirs[0, 0] == 0.0 != exact[0, 0]


def test_cross_entropy_equals_torch():
    logits, y = cosines(1)
    torch.testing.assert_close(cross_entropy(logits, y), torch.nn.functional.cross_entropy(logits, y, reduction="none"))


def test_margin_of_negative_logits_takes_the_runner_up():
    logits = torch.tensor([[-0.2, -0.5, -0.9], [-0.9, -0.1, -0.3]])
    torch.testing.assert_close(margin(logits, torch.tensor([0, 0])), torch.tensor([0.3, -0.8]))


def test_log_odds_ascend_as_cross_entropy_does():
    logits, y = cosines(2)
    a, b = logits.clone().requires_grad_(), logits.clone().double().requires_grad_()
    (odds,) = torch.autograd.grad(log_odds(a, y).sum(), a)
    (ce,) = torch.autograd.grad(torch.nn.functional.cross_entropy(b, y, reduction="sum"), b)
    torch.testing.assert_close(odds / odds.norm(dim=1, keepdim=True), (ce / ce.norm(dim=1, keepdim=True)).float())


@pytest.mark.parametrize("name", UNTARGETED)
def test_objectives_are_per_example(name):
    logits, y = cosines(3)
    objective = Objective(name, 15.0, 0.2)
    whole = objective(logits, y)
    one_by_one = torch.cat([objective(logits[i : i + 1], y[i : i + 1]) for i in range(len(y))])
    assert torch.equal(whole, one_by_one)


def test_objectives_increase_towards_misclassification():
    y = torch.tensor([0])
    right, wrong = torch.tensor([[0.9, 0.1]]), torch.tensor([[0.1, 0.9]])
    for name in UNTARGETED:
        objective = Objective(name, 15.0, 0.2)
        assert objective(wrong, y) > objective(right, y)


def test_margin_of_probabilities_against_float64():
    logits, y = cosines(5)
    p = torch.softmax(15 * logits.double(), 1)
    expected = torch.where(torch.nn.functional.one_hot(y, 10).bool(), -1.0, p).amax(1) - p.gather(1, y[:, None])[:, 0]
    given = Objective("probability_margin")(15 * logits, y).double()
    torch.testing.assert_close(given.expm1(), expected, atol=1e-6, rtol=1e-5)


def test_margin_of_probabilities_keeps_its_gradient_where_they_round_to_one():
    z = torch.tensor([[90.0, 0.0, -3.0]], requires_grad=True)
    (slope,) = torch.autograd.grad(Objective("probability_margin")(z, torch.tensor([0])).sum(), z)
    torch.testing.assert_close(slope, torch.tensor([[-1.0, 0.9757, 0.0243]]), atol=1e-3, rtol=0)
