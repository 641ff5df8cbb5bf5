"""Random numbers of a network that belong to the rows of a batch."""

import random
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from robench.access.row_random import one_draw, parts_of
from robench.access.stochastic import Draws

X = torch.rand(9, 1, 8, 8, generator=torch.Generator().manual_seed(2))
SEEDS = range(100, 109)
WEIGHT = torch.randn(35, 64, generator=torch.Generator().manual_seed(3))
OWN = torch.Generator()


def logits(x):
    return x.flatten(1) @ WEIGHT.T


def through_everything(x):
    x = x + torch.randn_like(x) + torch.rand(x.shape) + torch.normal(x, 0.1) + torch.randn(x.shape, generator=OWN)
    x = F.dropout2d(F.dropout(x, 0.3, training=True), 0.2, training=True)
    x = F.gumbel_softmax(x, dim=-1) * torch.bernoulli(torch.full_like(x, 0.5))
    x = x + torch.empty(len(x), 1, 1, 1).uniform_(0, 0.1) + torch.randint_like(x, 3)
    return x + torch.poisson(x.abs()).view(-1, 8, 8)[:, None].view_as(x)


def resized(x):
    size = int(torch.randint(5, 9, (1,)))
    return F.interpolate(F.interpolate(x, size=(size, size)), size=(8, 8)) + 0.1 * torch.randn_like(x)


def smoothed(x):
    copies = x.repeat(4, 1, 1, 1)
    return logits(copies + 0.2 * torch.randn_like(copies)).view(4, len(x), -1).mean(0)


def truncated(x):
    noise = torch.randn_like(x)
    while (far := noise.abs() > 2).any():
        noise = torch.where(far, torch.randn_like(x), noise)
    return noise + torch.randn_like(x)


NETWORKS: dict[str, tuple[Any, bool]] = {
    "by row": (lambda x: logits(through_everything(x)), True),
    "in patches": (lambda x: logits((x.reshape(-1, 4, 8) + torch.randn(len(x) * 2, 4, 8)).view_as(x)), True),
    "not at all": (logits, True),
    "copies of the batch": (smoothed, True),
    "until all are small": (lambda x: logits(x + truncated(x)), False),
    "one number": (lambda x: logits(x) + torch.randn(35), False),
    "one size for all": (lambda x: logits(resized(x)), False),
    "one permutation": (lambda x: logits(x)[:, torch.randperm(35)], False),
    "weights of 35 classes": (lambda x: x.flatten(1) @ (WEIGHT + torch.randn_like(WEIGHT)).T, False),
    "numpy": (lambda x: logits(x + torch.from_numpy(np.random.randn(*x.shape)).float()), False),
    "python": (lambda x: logits(x + random.random()), False),
}


@pytest.mark.parametrize(("network", "by_row"), NETWORKS.values(), ids=NETWORKS)
def test_a_row_draws_the_same_numbers_in_every_batch(network, by_row):
    before = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist()
    parts = parts_of(network, X[:3])
    assert (parts is not None) == by_row
    if network is NETWORKS["copies of the batch"][0]:
        assert not Draws.recognised(1, 0, network, X[:1]).by_row, "a row's parts do not lie side by side"
        return
    alone = one_draw(network, SEEDS, X, by_row=False)
    # Sums of at most 35 products of another order, and the functions before them, differ by rounding.
    limit = 64 * torch.finfo(torch.float32).eps * alone.abs().max()
    order = torch.tensor([7, 1, 4])
    for rows in (torch.arange(9), order, torch.tensor([5])):
        some = one_draw(network, [SEEDS[each] for each in rows.tolist()], X[rows], by_row=by_row)
        assert (some - alone[rows]).abs().max() <= limit
    other = one_draw(network, range(9), X, by_row=by_row)
    assert ((other - alone).abs().max() <= limit) == (network is logits)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)["state"]["key"].tolist()
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_rows_with_one_seed_get_one_answer_and_rows_with_two_get_independent_ones():
    def noise(x):
        return torch.randn_like(x).flatten(1)

    same = one_draw(noise, [3] * 9, X, by_row=True)
    assert (same == same[:1]).all()
    apart = one_draw(noise, range(2000), X[:1].expand(2000, 1, 8, 8), by_row=True)
    assert apart.mean().abs() < 5 / apart.numel() ** 0.5
    correlation = (apart[1:] * apart[:-1]).mean()
    assert correlation.abs() < 5 / apart[1:].numel() ** 0.5


def test_a_gradient_sees_the_numbers_of_its_own_rows():
    weight = nn.Parameter(torch.ones(64))

    def slope(x):
        x = x.detach().requires_grad_()
        value = (F.dropout(x, 0.5, training=True).flatten(1) @ weight).square().sum()
        return torch.autograd.grad(value, x)[0]

    # The gradient is a sum of 64 products in one order, whatever the batch.
    together, alone = (one_draw(slope, SEEDS, X, by_row=each) for each in (True, False))
    assert (together - alone).abs().max() <= 128 * torch.finfo(torch.float32).eps * alone.abs().max()
    assert (together == 0).float().mean() == pytest.approx(0.5, abs=5 * 0.5 / together.numel() ** 0.5)


def test_a_gradient_through_a_checkpoint_draws_the_numbers_of_the_forward_pass_again():
    def part(x):
        return x * (1 + torch.randn_like(x))

    def slope(x, keep):
        x = x.detach().requires_grad_()
        value = (checkpoint(part, x, use_reentrant=False) if keep else part(x)).square().sum()
        return torch.autograd.grad(value, x)[0]

    kept, plain = (Draws(1, 0, by_row=True, parts=[1]).ask(lambda x, k=keep: slope(x, k), SEEDS, X)
                   for keep in (True, False))  # fmt: skip
    assert torch.equal(kept, plain)


def test_attention_without_dropout_draws_nothing():
    q = torch.rand(6, 2, 5, 4)
    expected = F.scaled_dot_product_attention(q, q, q)
    assert torch.equal(one_draw(lambda x: F.scaled_dot_product_attention(x, x, x), range(6), q, by_row=True), expected)
    assert parts_of(lambda x: F.scaled_dot_product_attention(x, x, x), q) == []
