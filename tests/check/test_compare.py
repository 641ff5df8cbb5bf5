"""The gate's ruling on verdict arrays: what it catches, what it lets pass."""

from dataclasses import replace

import numpy as np
import pytest

from robench.check import CLEAN, HIGHER, LOWER, REGRESSION, SAME, WORST, Cell, compare, detectable, differing, rule
from robench.numerics.stats import mcnemar_drop
from tests.support.gates import MAIN, QUICK, planted, published, turned

MAX_DROP, ALPHA = 1.0, 0.05


def cell(lost, gained, n=540, before=None):
    ids = np.arange(lost + gained)
    return Cell("digits/x", "pgd-20", n, 80.0, 80.0, ids[:lost], ids[lost:])


def verdicts(*cells, max_drop=MAX_DROP, alpha=ALPHA):
    return [ruling.verdict for ruling in rule(cells, max_drop, alpha)]


def gate(damaged_model, count):
    """All six main defenses against themselves, one of them with planted losses."""
    cells = []
    for model in MAIN:
        now = published(model)
        before = planted(now, count)[0] if model == damaged_model else now
        cells += compare(f"digits/{model}", before, now)
    return rule(cells, MAX_DROP, ALPHA)


@pytest.mark.parametrize("model", MAIN)
def test_a_planted_regression_of_two_and_a_half_points_is_caught_among_six_defenses(model):
    rulings = gate(model, 14)
    assert len(rulings) == len(MAIN) * (len(QUICK) + 2) == 42
    failed = {(ruling.cell.model, ruling.cell.name) for ruling in rulings if ruling.verdict == REGRESSION}
    assert failed == {(f"digits/{model}", name) for name in (WORST, *QUICK)}
    worst = next(ruling for ruling in rulings if ruling.verdict == REGRESSION and ruling.cell.name == WORST)
    assert worst.cell.difference == pytest.approx(-100 * 14 / 540)
    assert worst.p == pytest.approx(42 / 2**14)


def test_equal_verdicts_are_no_regression():
    assert {ruling.verdict for ruling in gate("", 0)} == {SAME}


def test_losses_are_named_by_the_examples_ids():
    now = published("pgdat")
    before, places = planted(now, 14)
    ids = np.arange(540) * 3 + 7
    found = {each.name: each for each in compare("digits/pgdat", before, now, ids)}
    assert found["pgd-20"].lost.tolist() == [3 * place + 7 for place in places]
    assert found["pgd-20"].gained.tolist() == []
    assert found[CLEAN].lost.tolist() == []


def test_the_worst_case_falls_where_no_attack_does():
    """Two attacks that each lose other examples."""
    first, second = published("pgdat")[:2]
    both = np.flatnonzero(first.robust & second.robust)
    now = [turned(first, both[:5].tolist(), robust=False), turned(second, both[5:10].tolist(), robust=False)]
    found = {r.cell.name: r for r in rule(compare("digits/pgdat", [first, second], now), MAX_DROP, ALPHA)}
    assert found[WORST].verdict == REGRESSION
    assert len(found[WORST].cell.lost) == 10
    assert {found[record.header.attack.name].verdict for record in now} == {LOWER}


def test_one_attack_has_no_worst_case_of_its_own():
    (first, *_) = published("pgdat")
    assert [each.name for each in compare("digits/pgdat", [first], [first])] == [CLEAN, "fgsm"]


def test_both_conditions_must_hold():
    # 1.3 points of ten thousand: significant, and more or less than what may be lost.
    assert verdicts(cell(130, 0, 10_000)) == [REGRESSION]
    assert verdicts(cell(130, 0, 10_000), max_drop=1.3) == [LOWER]
    assert verdicts(cell(131, 0, 10_000), max_drop=1.3) == [REGRESSION]
    # Five points of a hundred, but as many as chance gives.
    assert mcnemar_drop(20, 15) > ALPHA
    assert verdicts(cell(20, 15, 100)) == [LOWER]


def test_improvement_is_shown_and_never_fails():
    assert verdicts(cell(0, 100), cell(3, 3), max_drop=0.0) == [HIGHER, SAME]


def test_more_cells_ask_for_more():
    assert verdicts(cell(6, 0)) == [REGRESSION]
    assert verdicts(cell(6, 0), *[cell(0, 0)] * 41)[0] == LOWER


@pytest.mark.parametrize("cells", [1, 3, 7, 42, 133])
@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_the_fewest_losses_that_are_significant(cells, alpha):
    fewest = detectable(cells, alpha)
    assert cells * mcnemar_drop(fewest, 0) <= alpha
    assert fewest == 1 or cells * mcnemar_drop(fewest - 1, 0) > alpha


def test_identities_differ_in_the_fields_that_are_named():
    here = published("pgdat")[1].header.identity
    there = {**here, "seed": 9, "model": {}, "threat": {**here["threat"], "eps": 0.3}, "new": True}
    found = differing(there, here)
    assert [(each.name, each.before, each.after) for each in found] == [
        ("new", "true", "absent"),
        ("threat.eps", "0.3", "0.2"),
    ]
    assert differing(here, here) == []
    assert [each.name for each in differing({**here, "engine": 1.0}, {**here, "engine": 1})] == ["engine"]
    assert replace(found[0], name="x").clause("there", "here") == "x is true there and absent here"
