"""What the published attacks share: passes, the ball, who leaves when, and what linear networks have to lose."""

import pytest
import torch

from benchmarks.peers.published import ATTACKS, a3, malt, pma
from benchmarks.peers.published.search import CountedPasses, Search, gradient, margin, project, rival


@pytest.mark.parametrize("name", ATTACKS)
def test_every_attack_finds_what_a_linear_network_has_and_no_more(name, planes):
    model, x, y, eps, reachable = planes
    counted = CountedPasses(model)
    short = {"a3": {"rounds": 3}, "malt": {"steps": 8}, "pma": {"steps": 12, "restarts": 1}}[name]
    points = {"a3": a3, "malt": malt, "pma": pma}[name].attack(counted, x, y, eps, 0, **short)
    wrong = model(points).argmax(1) != y
    assert torch.equal(wrong, reachable)
    assert torch.equal(points[~wrong], x[~wrong])
    assert (points - x).abs().max() <= eps + 1e-6
    assert points.min() >= 0
    assert points.max() <= 1
    assert 0 < counted.backwards <= counted.forwards + (4 * len(x) if name == "malt" else 0)
    assert torch.equal(points, {"a3": a3, "malt": malt, "pma": pma}[name].attack(model, x, y, eps, 0, **short))


def test_passes_are_counted_one_by_one(planes):
    model, x, y, *_ = planes
    counted = CountedPasses(model)
    slope, values, logits = gradient(counted, x, lambda z: margin(z, y))
    assert (counted.forwards, counted.backwards) == (len(x), len(x))
    other = logits.scatter(1, y[:, None], -torch.inf).argmax(1)
    assert torch.allclose(slope.flatten(1), model.w[other] - model.w[y])
    assert torch.allclose(values, rival(logits, y) - logits.gather(1, y[:, None])[:, 0])
    with torch.no_grad():
        counted(x[:3])
    assert (counted.forwards, counted.backwards) == (len(x) + 3, len(x))


def test_the_broken_leave_and_keep_their_first_point(planes):
    model, x, y, *_ = planes
    mine = Search(model, x, y, 0.02, 0)
    logits = torch.zeros(len(x), 5).scatter(1, y[:, None], 1.0)
    logits[2] = torch.eye(5)[(y[2] + 1) % 5]
    stay = mine.book(mine.active, x + 0.01, logits)
    assert (~stay).nonzero().flatten().tolist() == [2]
    assert 2 not in mine.active.tolist()
    assert torch.equal(mine.points[2], x[2] + 0.01)
    assert torch.equal(mine.points[3], x[3])


def test_start_and_projection_stay_in_ball_and_box():
    x = torch.tensor([[[[0.0, 0.5, 1.0]]]]).repeat(40, 1, 1, 1)
    points = Search(None, x, torch.zeros(40, dtype=torch.int64), 0.1, 0).start(torch.arange(40))
    assert (points - x).abs().max() <= 0.1 + 1e-7
    assert points.min() == 0
    assert points.max() == 1
    assert (points[:, 0, 0, 1] - 0.5).abs().max() > 0.08
    assert torch.allclose(project(x + 1, x, 0.1)[0, 0, 0], torch.tensor([0.1, 0.6, 1.0]))
