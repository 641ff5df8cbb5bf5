"""The feature attack's budget: its authors', left early by what is broken, and its price is said before it is paid."""

from fractions import Fraction

import pytest

from robench.classifiers.frozen import frozen_network
from robench.evaluation.cost import CostHistory
from robench.paths import data_root
from robench.report import select
from robench.report.selection import CurrentCatalogue
from robench.specs import battery_attacks, find_attack
from robench.store import Record
from robench.store.published import read_file
from tests.support.networks import CPU, toy
from tests.support.runs import attack

FEATURE = find_attack("feature-attack")


@pytest.fixture(scope="module")
def runs():
    """One target and eight of the same attack, on the same network."""
    model, split = toy(head="linear")
    with frozen_network(model, CPU) as frozen:
        few, many = (
            attack(frozen, split, FEATURE.model_copy(update={"steps": 5, "restarts": targets}), threat="0.015")
            for targets in (1, 8)
        )
    return few, many


@pytest.mark.parametrize(("name", "targets"), [("feature-attack", 100), ("feature-attack-500", 500)])
def test_targets_steps_and_step_size_are_the_authors(name, targets):
    spec = find_attack(name)
    assert (spec.restarts, spec.steps, spec.success) == (targets, 50, "any")
    assert spec.params["rel_step"] == pytest.approx(float(Fraction(1, 255) / Fraction(8, 255)))
    assert (name in {each.name for each in battery_attacks("paper")}) is (targets == 100)


def test_every_further_target_breaks_more_and_keeps_what_the_first_broke(runs):
    few, many = runs
    assert not (many.robust & ~few.robust).any()
    assert few.robust.sum() > many.robust.sum() > 0


def test_the_broken_take_no_further_target(runs):
    _, many = runs
    a_target = 5 + 2
    assert (many.forwards[many.robust] == 8 * a_target).all()
    broken = ~many.robust
    assert (many.forwards[broken] <= (many.restart[broken] + 1) * a_target).all()
    assert (many.forwards[broken] > many.restart[broken] * a_target).all()


def test_the_price_is_said_in_advance():
    forwards, backwards = CostHistory([]).passes(FEATURE, 1.0, 10)
    assert (forwards, backwards) == (100 * 52, 100 * 50)


def test_published_records_of_the_former_budget_are_shown_under_its_name():
    known = next(read_file(data_root() / "results" / "digits" / "pgdat.jsonl"))
    old, new = (
        Record(known.header.model_copy(update={"attack": spec}), known.clean, known.robust, known.step)
        for spec in (find_attack("feature-attack-5").model_copy(update={"name": FEATURE.name}), FEATURE)
    )
    catalogue = CurrentCatalogue()
    assert old not in catalogue
    assert catalogue.renamed(old) in catalogue
    assert catalogue.renamed(old).header.attack.name == "feature-attack-5"
    assert catalogue.renamed(old).header.hash == old.header.hash
    assert catalogue.renamed(new) is new
    assert select([old]).defenses == {}
    shown = select([catalogue.renamed(old), new]).defenses["digits/pgdat"]
    assert {record.header.attack.name for record in shown} == {"feature-attack", "feature-attack-5"}
    other = FEATURE.model_copy(update={"steps": 7})
    unknown = Record(known.header.model_copy(update={"attack": other}), known.clean, known.robust, known.step)
    assert catalogue.renamed(unknown) is unknown, "nothing declares it: stale"
