"""Batch norm while training examples are perturbed."""

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from robench.numerics.ball import Ball
from robench.specs import Head
from robench.training.frameworks import make_framework
from robench.training.net import Net
from tests.support.networks import CPU
from tests.support.table1 import (
    EPS,
    images,
    network,
    perturber,
    recipe,
)


class Normed(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten())
        self.features = 27


def statistics(model):
    return {name: buffer.clone() for name, buffer in model.named_buffers() if "backbone" in name}


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_batch_norm_while_perturbing(mode):
    """In evaluation mode no statistic moves and the points are those of the frozen network."""
    model, (x, y), declared = network(Head(), Normed), images(), recipe("pgd_at", perturb_mode=mode)
    with torch.no_grad():
        model(x)  # statistics of its own, unlike any batch's
    twin, before = deepcopy(model), statistics(model)
    points = perturber(declared)(Net(model, model, "fp32", CPU), x, lambda z: F.cross_entropy(z, y, reduction="none"))
    same = [torch.equal(before[name], now) for name, now in statistics(model).items()]
    assert all(same) if mode == "eval" else not any(same)
    assert all(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    twin.train(mode == "train")
    at = Ball(x, "linf", EPS).random_point(torch.rand(x.shape, generator=torch.Generator().manual_seed(7)))
    for _ in range(declared.steps):
        at.requires_grad_()
        (up,) = torch.autograd.grad(F.cross_entropy(twin(at), y, reduction="sum"), at)
        at = torch.clamp(torch.minimum(torch.maximum(at.detach() + EPS / 3 * up.sign(), x - EPS), x + EPS), 0, 1)
    torch.testing.assert_close(points, at, atol=1e-6, rtol=0)


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize(
    ("framework", "updates", "looks"), [("pgd_at", 1, 4), ("fast_at", 1, 1), ("alp", 2, 4), ("trades", 2, 5)]
)
def test_passes_that_batch_norm_counts(framework, updates, looks, mode):
    model, (x, y) = network(Head(), Normed), images()
    losses = make_framework(framework).losses(
        Net(model, model, "fp32", CPU), x, y, perturber(recipe(framework, perturb_mode=mode))
    )
    list(losses)
    assert model.backbone[1].num_batches_tracked == updates + (looks if mode == "train" else 0)
