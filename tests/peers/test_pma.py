"""PMA: its loss on probabilities and its schedule."""

import math

import pytest
import torch
from torch import nn

from benchmarks.peers.published import pma
from benchmarks.peers.published.search import CountedPasses


def test_pma_climbs_its_three_objectives_in_turn():
    logits, y = torch.tensor([[2.0, 1.0, -1.0], [0.0, 3.0, 1.0]]), torch.tensor([0, 1])
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    own, other = torch.tensor([p[0, 0], p[1, 1]]), torch.tensor([p[0, 1], p[1, 2]])

    def climbed(k, rival_first=False):
        return pma.objective(logits, y, k, 100, rival_first)

    assert torch.allclose(climbed(0), own)
    assert torch.allclose(climbed(0, True), own)
    for k in (1, 49):
        assert torch.allclose(climbed(k), -own)
        assert torch.allclose(climbed(k, True), other)
    for k in (50, 99):
        assert torch.allclose(climbed(k), other - own)
        assert torch.allclose(climbed(k, True), other - own)


def test_pmas_margin_is_the_papers_and_its_gradient_weighs_all_classes():
    """L = (e^z_max - e^z_y) / sum e^z, so dL/dz_k = p_k ([k = max] - [k = y] - L)."""
    z = torch.tensor([[1.5, 0.5, -0.3, 0.1]], dtype=torch.float64, requires_grad=True)
    loss = pma.objective(z, torch.tensor([0]), 99, 100, False)
    (found,) = torch.autograd.grad(loss.sum(), z)
    e = z.detach().exp()[0]
    assert float(loss.detach()) == pytest.approx(float((e[1] - e[0]) / e.sum()))
    p = e / e.sum()
    expected = p * (torch.tensor([-1.0, 1.0, 0.0, 0.0]) - loss.detach())
    assert torch.allclose(found[0], expected)


def test_pmas_steps_fall_from_two_eps_to_none_twice():
    sizes = [pma.step_size(k, 100) for k in range(100)]
    assert (sizes[1], sizes[51]) == (2, 2)
    assert sizes[26] == pytest.approx(1)
    assert sizes[76] == pytest.approx(1)
    assert sizes[50] == pytest.approx(1 + math.cos(math.pi * 49 / 50))
    assert max(sizes[50], sizes[99]) < 0.01
    assert sizes[1:50] == sorted(sizes[1:50], reverse=True)


def test_pma_makes_two_runs_a_restart_and_no_pass_more():
    class Sure(nn.Module):
        def forward(self, x):
            return torch.stack([x.flatten(1).sum(1) * 0 + 1, x.flatten(1).sum(1) * 0], 1)

    counted = CountedPasses(Sure())
    pma.attack(counted, torch.full((3, 1, 2, 2), 0.5), torch.zeros(3, dtype=torch.int64), 0.1, 0, steps=30, restarts=2)
    assert counted.backwards == 3 * 4 * 30
    assert counted.forwards == 3 * (1 + 4 * 31)
