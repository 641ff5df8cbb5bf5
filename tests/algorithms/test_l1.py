"""Attacks in l1 on linear networks whose optimum the walls of [0, 1] cut off, and on what else is special to l1."""

import pytest
import torch

from robench.classifiers.frozen import frozen_network
from robench.data.split import Split
from robench.specs import find_attack
from tests.support.networks import CPU, Linear
from tests.support.runs import attack

N, EPS = 24, 0.8


def best(slope: torch.Tensor, room: torch.Tensor, budget: float) -> float:
    """The largest gain within room and budget, value by value, the steepest first: a fractional knapsack."""
    gain = 0.0
    for one in slope.abs().argsort(descending=True).tolist():
        moved = min(budget, float(room[one]))
        gain, budget = gain + float(slope[one].abs()) * moved, budget - moved
    return gain


@pytest.fixture(scope="module")
def problem():
    """A linear network of two classes on images with pixels at and near the walls; and how far an attack can lead.

    The lead is the label's logit gap less the largest gain of any perturbation, in float64: below 0, it can be broken.
    """
    source = torch.Generator().manual_seed(0)
    x = (1.4 * torch.rand(N, 2, 3, 3, generator=source) - 0.2).clamp(0, 1)
    w = torch.randn(18, generator=source)
    model = Linear(w, float(-(x.flatten(1) @ w).mean())).eval()
    y = model(x).argmax(1)
    flat, normal = x.flatten(1).double(), model.w.detach().double()
    f = flat @ normal + model.b
    lead = []
    for image, value in zip(flat, f.tolist(), strict=True):
        room = torch.where(normal * value < 0, 1 - image, image)  # against the sign of f
        lead.append(abs(value) - best(normal, room, EPS))
    return model, x, y, torch.tensor(lead), f.abs().max().item()


@pytest.mark.parametrize("name", ["fgsm", "pgd-50", "deepfool", "apgd-ce", "fab", "cascade"])
def test_linear_networks_are_exact_where_the_box_cuts_the_ball(problem, name):
    model, x, y, lead, scale = problem
    spec = find_attack(name)
    with frozen_network(model, CPU) as frozen:
        rows = attack(frozen, Split.checked("some", x, y), spec, norm="l1", threat=repr(EPS))
    robust = torch.from_numpy(rows.robust)
    clear = lead.abs() > (0.02 if name == "apgd-ce" else 0.005) * scale
    assert (rows.first_fault == -1).all()
    assert not (robust & (lead < 0) & clear).any()
    assert not (~robust & (lead > 0)).any()
    assert 4 < (lead < 0).sum() < N - 4
    assert clear.sum() >= N - 4
