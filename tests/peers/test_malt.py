"""MALT: its order of classes, its objective, and the APGD below it."""

import math

import pytest
import torch
from torch import nn

from benchmarks.peers.published import apgd, malt
from benchmarks.peers.published.search import CountedPasses, Search
from tests.support.optima import Planes


def test_malts_order_is_lead_over_gradient_norm():
    """Class 4 has a small lead and no gradient; class 3 is nearest, because its gradient is the longest."""
    w = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.1, 0.1], [3.0, -1.0], [0.0, 0.0]])
    model = Planes(w, torch.tensor([1.0, 0.0, 0.5, 0.2, 0.6]))
    x, y = torch.full((2, 1, 1, 2), 0.1), torch.tensor([0, 0])
    logits = model(x).detach()
    leads, norms = logits[0, 0] - logits[0], (w - w[0]).abs().sum(1)
    assert torch.allclose(leads[1:] / norms[1:], torch.tensor([0.9, 0.48 / 0.2, 0.6 / 4, math.inf]))
    counted = CountedPasses(model)
    assert malt.order(counted, x, y, logits).tolist() == [[3, 1, 2, 4]] * 2
    assert (counted.forwards, counted.backwards) == (2, 2 * 4)
    assert malt.order(model, x, y, logits, candidates=2).tolist() == [[2, 4]] * 2


def test_malts_ratio_is_the_targets_lead_over_all_and_does_not_see_scale_or_shift():
    z, t = torch.tensor([[3.0, 1.0, 2.0, -1.0, 0.0]]), torch.tensor([2])
    assert float(malt.ratio(z, t)) == pytest.approx((2 - 3) / (3 - (1 + 0) / 2))
    assert torch.allclose(malt.ratio(7 * z + 5, t), malt.ratio(z, t))
    assert float(malt.ratio(z, torch.tensor([0]))) > 0


def test_malts_start_touches_the_surface():
    x = torch.full((9, 1, 3, 3), 0.5)
    points = malt.start(Search(None, x, torch.zeros(9, dtype=torch.int64), 0.1, 0), torch.arange(9))
    assert torch.allclose((points - x).flatten(1).abs().amax(1), torch.full((9,), 0.1))


def test_apgd_takes_the_steps_of_the_published_package():
    from pyautoattack.autopgd_base import APGDAttack_targeted

    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 32), nn.Softplus(), nn.Linear(32, 6)).eval()
    x, eps, steps = torch.rand(40, 1, 4, 4), 0.05, 100
    y = model(x).argmax(1)
    theirs = APGDAttack_targeted(model, n_iter=steps, eps=eps, device="cpu")
    theirs.init_hyperparam(x)
    theirs.y_target = target = (y + 1) % 6
    mine = Search(model, x, y, eps, 0)
    start = mine.start(mine.active)

    def published(logits, rows):
        top = logits.sort(1).values
        own, aim = (logits.gather(1, each[rows, None])[:, 0] for each in (y, target))
        return (aim - own) / (top[:, -1] - (top[:, -3] + top[:, -4]) / 2 + 1e-12)

    best = apgd.run(mine, mine.active, start, published, steps)
    theirs_best, _, reached, _ = theirs.attack_single_run(x, y, x_init=start)
    rows = mine.active
    assert len(rows) > 20
    same = (best - theirs_best[rows]).flatten(1).abs().amax(1) < 1e-5
    assert (~same).sum() <= 1, "the package counts a first step as a rise only if the objective is above zero"
    with torch.no_grad():
        assert torch.allclose(published(model(best), rows), reached[rows], atol=1e-5)
