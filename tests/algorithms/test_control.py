"""The black-box control: independent of the chunk, the beginning of longer runs, cheap, and a check of gradients."""

import numpy as np
import pytest
import torch

import robench
from robench.algorithms.control import PASSES
from robench.classifiers import load_model
from robench.specs import FEW, battery_attacks, find_attack

CONTROL = find_attack("control")


def run(network, x, y, *, steps=60, **options):
    spec = CONTROL.model_copy(update={"steps": steps})
    (result,) = robench.evaluate(network, x, y, **{"eps": "0.2", "attacks": [spec], **options}).results
    return result.record


@pytest.fixture(scope="module")
def standard():
    return load_model("digits/standard").eval()


@pytest.fixture(scope="module")
def long(standard, digits):
    return run(standard, digits.x[:40], digits.y[:40])


def test_verdicts_do_not_depend_on_the_chunk(standard, digits, long):
    found = run(standard, digits.x[:40], digits.y[:40], chunk_size=19, batch_size=11)
    assert np.array_equal(found.robust, long.robust)
    assert np.array_equal(found.queries, long.queries)
    assert found.header.forwards == long.header.forwards


@pytest.mark.parametrize("steps", [1, 25, 26, 40])
def test_a_short_control_is_the_beginning_of_a_long_one(standard, digits, long, steps):
    assert long.header.has_curve
    broken = long.clean & ~long.robust
    assert 0 < broken.sum() < 40
    short = run(standard, digits.x[:40], digits.y[:40], steps=steps)
    assert np.array_equal(short.clean & ~short.robust, broken & (long.step <= steps))


def test_examples_far_from_the_boundary_are_given_up(digits):
    robust = load_model("digits/pgdat").eval()
    record = run(robust, digits.x[:40], digits.y[:40], eps="0.02", steps=200)
    assert record.header.forwards <= 30 * record.clean.sum(), "the first queries, the clean margin, and a few more"


@pytest.mark.parametrize("n", [2, 10, FEW])
def test_few_examples_take_few_passes(standard, digits, n):
    header = run(standard, digits.x[:n], digits.y[:n], eps="0.01", steps=400).header
    assert header.forwards <= PASSES
    assert header.attack.steps == {2: 69, 10: 14, FEW: 4}[n]
    assert header.attack.name == "control"


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_a_target_is_reached(standard, digits, norm):
    some = (digits.y[:60] != 8).nonzero().flatten()[:40]
    x, y = digits.x[some], digits.y[some]
    record = run(standard, x, y, eps="0.5" if norm == "linf" else "3", norm=norm, target=8, steps=12)
    assert (record.clean & ~record.robust).any()


def test_a_mask_is_kept(standard, digits):
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[2:6, 2:6] = True
    report = robench.evaluate(
        standard, digits.x[:33], digits.y[:33], eps="0.4", mask=mask, attacks=["control"], save_adversarial=True
    )
    points, ids = report.adversarial("control")
    moved = (points != digits.x[ids]).any(0)[0]
    assert moved.any()
    assert not moved[~mask].any()


@pytest.mark.parametrize("battery", ["quick", "fast", "paper", "adaptive", "whitebox", "full"])
def test_every_battery_with_a_worst_case_asks_a_black_box(battery):
    assert "control" in [spec.name for spec in battery_attacks(battery)]


@pytest.mark.parametrize("name", ["pgdat", "pgdat_he", "trades_he", "fastat"])
@pytest.mark.parametrize(("norm", "eps"), [("linf", "0.2"), ("l2", "0.5")])
@pytest.mark.slow
def test_the_control_of_540_digits_takes_at_most_20000_passes(name, norm, eps, digits):
    header = run(
        load_model(f"digits/{name}").eval(), digits.x, digits.y, steps=CONTROL.steps, norm=norm, eps=eps
    ).header
    assert header.forwards <= 20_000
