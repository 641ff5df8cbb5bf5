"""A3: its rounds, whom they leave out, and the directions they begin with."""

import math

import pytest
import torch

from benchmarks.peers.published import a3
from benchmarks.peers.published.search import Search


def test_a3s_margin_steps_follow_a_cosine_from_eps():
    for steps, least in ((8, 0.1), (25, 0.001)):
        sizes = [a3.step_size(s, steps) for s in range(steps)]
        assert sizes[0] == 1
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[-1] == pytest.approx(least + (1 - least) * (1 + math.cos(math.pi * (steps - 1) / (steps + 1))) / 2)


def test_a3s_rounds():
    assert len(a3.FIRST) + len(a3.LONG) == len(a3.FIRST) + len(a3.DIRECTED) == a3.ROUNDS == 13
    assert a3.planned(0, False, 0.5, 10) == a3.Round(1, 8, 0, 1)
    assert a3.planned(12, False, 0.5, 10) == a3.Round(0.03, 60, 7, 50)
    assert a3.planned(12, True, 0.5, 10) == a3.Round(0.5, 45, 10, 20)
    assert a3.planned(5, False, 0.05, 10) == a3.Round(1.0, 30, 7, 11), "few survivors: all, and ten times more"
    assert a3.planned(12, False, 0.5, 1000) == a3.Round(0.03, 70, 7, 32)
    assert a3.planned(3, True, 0.5, 1000) == a3.Round(1, 15, 10, 11)


def test_a3_discards_the_examples_of_smallest_margin_but_never_below_a_hundred():
    best = torch.linspace(-3, -1, 500)
    active = torch.arange(0, 500, 2)
    assert torch.equal(a3.kept(best, active, 1.0), active)
    assert torch.equal(a3.kept(best, active, 0.6), active[-150:])
    assert torch.equal(a3.kept(best, active, 0.03), active[-100:])
    assert torch.equal(a3.kept(best, active[:40], 0.03), active[:40])


@pytest.mark.parametrize(
    ("wrong", "own", "works", "final", "aim", "low", "high"),
    [
        (2.0, 1.0, False, False, 0.8, -0.1, 0.5),
        (-2.0, 1.0, False, False, -0.8, -0.1, 0.5),
        (-2.0, -1.0, False, False, -0.8, -0.5, 0.1),
        (2.0, -1.0, False, False, 0.8, -0.5, 0.1),
        (-2.0, -1.0, True, False, 0.8, -0.1, 0.5),
        (-2.0, 1.0, False, True, 0.8, -0.8, 0.1),
        (2.0, 1.0, True, True, 0.8, 0.0, 0.0),
    ],
)
def test_a3s_directions_follow_the_signs_that_broke_examples(wrong, own, works, final, aim, low, high):
    y, rows = torch.tensor([3, 0, 7]), torch.arange(3)
    order = torch.stack([torch.cat([label[None], torch.tensor([c for c in range(10) if c != label])]) for label in y])
    mine = Search(None, torch.zeros(3, 1, 1, 1), y, 0.02, 0)
    found = []
    for turn in range(40):
        seen = a3.Statistics(torch.zeros(3), wrong, own)
        w = a3.directions(mine, rows, a3.Direction(order, turn, True, works, final), seen)
        place = order[rows, 1 + turn % (4 if final and not works else 9)]
        assert torch.allclose(w[rows, place], torch.full((3,), aim))
        assert w.abs().max() <= 1
        found += w[rows, y].tolist()
    assert low <= min(found)
    assert max(found) <= high
    assert max(found) - min(found) >= 0.7 * (high - low)


def test_a3s_first_directions_are_random_and_many_classes_stretch_the_later_ones():
    y, rows = torch.arange(6), torch.arange(6)
    order = torch.stack([torch.roll(torch.arange(100), -int(label)) for label in y])
    mine = Search(None, torch.zeros(6, 1, 1, 1), y, 0.02, 0)
    first = a3.directions(mine, rows, a3.Direction(order, 0, False, False, False), a3.Statistics(torch.zeros(6)))
    assert first.abs().max() <= 1
    assert first.std() == pytest.approx(1 / math.sqrt(3), abs=0.05)
    how = a3.Direction(order, 16, True, False, False)
    later = a3.directions(mine, rows, how, a3.Statistics(torch.zeros(6), -1.0, 1.0))
    assert torch.allclose(later[rows, order[rows, 1 + 16 % 14]], torch.full((6,), 8.0))
    assert (later[rows, y] <= 1).all()
    assert (later[rows, y] >= -5).all()


def test_a3_learns_the_signs_from_its_first_directions(planes):
    """On a linear network an example falls to the class whose direction was high, from one that was low."""
    model, x, y, eps, _ = planes
    mine = Search(model, x, y, eps, 0)
    seen = a3.Statistics(torch.full((len(x),), -torch.inf))
    how = a3.Direction(model(x).argsort(dim=1, descending=True), 0, False, False, False)
    a3._restart(mine, mine.active, a3.Round(1, 1, 7), how, seen)
    assert mine.broken.any()
    assert seen.wrong > 0 > seen.own
    assert seen.by_direction > 0
    assert (seen.best[mine.broken] > 0).all()
    assert (seen.best[~mine.broken] < 0).all()
