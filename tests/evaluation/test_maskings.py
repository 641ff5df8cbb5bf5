"""Networks without robustness whose gradients mislead are never called trusted; honest networks are."""

import numpy as np
import pytest
import torch

import robench
from robench.classifiers import load_model
from robench.numerics.stats import at_least, wilson
from robench.report.trust import trust
from robench.specs import diagnostics, find_attack, list_models
from tests.support.marks import slow
from tests.support.maskings import HONEST, MASKED
from tests.support.records import supposed
from tests.support.toys import evaluate

pytestmark = [
    pytest.mark.filterwarnings("ignore:the worst case is broken:UserWarning"),
    pytest.mark.filterwarnings("ignore:the network returns probabilities:UserWarning"),
]
ROBUST = 5.0
"""Robust accuracy in percent up to which it does not matter what the gradients are: the network is broken."""
EVERY = [name for name in list_models() if name.startswith("digits/")]


def worst_case(network, x, y, **options):
    """The worst case under the battery `fast`, or under a short attack."""
    return robench.evaluate(network.eval(), x, y, **{"eps": "0.2", "battery": "fast", **options}).worst_case


CHEAP = ["3 of 8 rows", "random signs on half of the examples", "saturated softmax", "shifted by two pixels"]


@pytest.mark.parametrize("kind", [kind if kind in CHEAP else slow(kind) for kind in MASKED])
def test_a_masking_is_seen_under_a_short_attack(kind, digits):
    found = worst_case(MASKED[kind](), digits.x[:32], digits.y[:32], attacks=["pgd-10", "control"])
    assert found.robust_accuracy <= ROBUST or found.trust.level != "trusted"


@pytest.mark.slow
@pytest.mark.parametrize("n", [32, 100])
@pytest.mark.parametrize("kind", MASKED)
def test_a_masking_is_seen_by_fast(kind, n, digits):
    found = worst_case(MASKED[kind](), digits.x[:n], digits.y[:n])
    assert found.robust_accuracy <= ROBUST or found.trust.level != "trusted"


def test_the_control_alone_finds_a_masking(digits):
    """Every example has its own random numbers, so the finds among the survivors of a blind attack are binomial.

    Of 100 examples, attacks with half a gradient leave 37 or more. If the control breaks one with probability p, it
    finds nine of them, which prove a masking, with a probability above 0.999.
    """
    network, short = load_model("digits/standard").eval(), find_attack("control").model_copy(update={"steps": 60})
    (result,) = robench.evaluate(network, digits.x[:100], digits.y[:100], eps="0.2", attacks=[short]).results
    clean, robust = result.record.clean, result.record.robust
    p, _ = wilson(int((clean & ~robust).sum()), int(clean.sum()))
    assert at_least(9, 37, p) > 0.999


@pytest.mark.parametrize(
    ("n", "check", "broken"), [(10, 2, 3), (32, 3, 5), (100, 4, 9), (540, 8, 27), (10_000, 68, 341)]
)
def test_finds_prove_a_masking_by_their_number(n, check, broken):
    """The fewest finds whose chance is at most 1% if their true share is 0.5% or 3%."""
    for share, fewest in ((0.005, check), (0.03, broken)):
        assert at_least(fewest, n, share) <= 0.01 < at_least(fewest - 1, n, share)


@pytest.fixture(scope="module")
def base():
    return evaluate(attacks=["pgd-1"]).results[0].record


def of_black_box(base, n, finds, white="cascade"):
    """The findings of a black box beside a gradient attack that breaks nothing."""
    robust = np.arange(n) >= finds
    records = [
        supposed(base, find_attack(white), np.ones(n, dtype=bool), {"unfinished": 0.0}),
        supposed(base, find_attack("control"), robust, {"two-classes": 0.0}),
    ]
    return [each.diagnostic.name for each in trust(records).findings if each.diagnostic.name.startswith("black-box")]


@pytest.mark.parametrize("n", [10, 32, 100, 540, 10_000])
def test_one_find_accuses_nobody(base, n):
    assert of_black_box(base, n, 1) == []


@pytest.mark.parametrize(("n", "check", "broken"), [(10, 2, 3), (540, 8, 27)])
def test_many_finds_accuse(base, n, check, broken):
    assert of_black_box(base, n, check - 1) == []
    assert of_black_box(base, n, check) == ["black-box-finds-more"]
    assert of_black_box(base, n, broken) == ["black-box-beats-white-box"]
    weak = of_black_box(base, n, broken, white="pgd-20")
    assert weak == ["black-box-finds-more"], "PGD aims at no class"


@pytest.mark.parametrize("kind", [slow(kind) for kind in HONEST])
@pytest.mark.parametrize(("norm", "eps"), [("linf", "0.2"), ("linf", "0.001"), ("linf", "0.8"), ("l2", "0.5")])
def test_honest_networks_are_trusted(kind, norm, eps, digits):
    network, x = HONEST[kind]().eval(), digits.x[:32]
    with torch.no_grad():
        y = network(x).argmax(1)
    found = worst_case(network, x, y, norm=norm, eps=eps)
    assert found.trust.level == "trusted", found.trust.sentence()


@pytest.mark.parametrize("name", [slow(name) for name in EVERY])
def test_registered_defenses_are_trusted(name, digits):
    found = worst_case(load_model(name), digits.x[:60], digits.y[:60])
    assert found.trust.level == "trusted", found.trust.sentence()


def test_the_bounds_are_the_declared_ones():
    assert diagnostics()["black-box-finds-more"].above == 0.5
    assert diagnostics()["black-box-beats-white-box"].above == 3.0
