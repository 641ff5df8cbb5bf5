"""Query budgets: never exceeded by one, and read from the longer run."""

import pytest

import robench
from robench.algorithms import bind
from robench.classifiers import load_model
from robench.errors import InputError
from robench.evaluation.budget import cap_queries
from robench.specs import battery_attacks, find_attack
from tests.support.marks import slow

BLACK = ["nes-80", "spsa-80", "zoo", "square", "rays"]


@pytest.mark.parametrize("name", BLACK)
@pytest.mark.parametrize("queries", [600, 5000])
def test_the_most_steps_that_the_budget_allows(name, queries):
    (spec,) = cap_queries([find_attack(name)], queries)
    asked = bind(spec).cost
    assert asked(spec.steps, 10)[0] <= queries < asked(spec.steps + 1, 10)[0]


def test_what_fits_stays_as_it_is_and_so_do_white_boxes():
    specs = [find_attack(name) for name in ("square", "pgd-20", "cascade")]
    assert cap_queries(specs, 5000) == specs


def test_attacks_that_become_the_same_are_run_once():
    names = [spec.name for spec in cap_queries([find_attack(f"nes-{steps}") for steps in (80, 50, 20)], 1000)]
    assert names == ["nes-80-within-1000"]


def test_a_budget_below_one_step_is_refused():
    with pytest.raises(InputError, match="first step takes 258"):
        cap_queries([find_attack("spsa-20")], 257)


@pytest.mark.parametrize("queries", ["100", 2.5, True])
def test_budgets_are_whole_numbers(queries):
    with pytest.raises(InputError, match="whole number"):
        cap_queries([find_attack("square")], queries)


def test_attacks_that_differ_in_more_than_steps_are_kept():
    square = find_attack("square")
    last = square.model_copy(update={"name": "last", "success": "last"})
    assert len(cap_queries([square, last], 300)) == 2


@pytest.mark.parametrize("name", BLACK)
def test_the_last_look_is_within_the_budget(name, digits):
    spec = find_attack(name).model_copy(update={"success": "last"})
    few, most = digits.limit(6), 300 if name in ("nes-80", "spsa-80") else 100  # of 257 queries and more a step, one
    report = robench.evaluate(
        load_model("pgdat"), few.x, few.y, ids=few.ids, attacks=[spec], eps="0.1", max_queries=most
    )
    record = report.results[0].record
    assert record.header.forwards <= most * record.clean.sum()


@pytest.mark.parametrize(("n", "steps", "most"), [(8, 80, 61), slow(25, 400, 151)])
def test_nobody_spends_more_and_the_longer_run_says_the_same(digits, n, steps, most):
    model, few = load_model("pgdat"), digits.limit(n)
    long = [find_attack(name).model_copy(update={"steps": steps}) for name in ("square", "zoo", "rays")]
    options = {"ids": few.ids, "eps": "0.25"}
    whole = robench.evaluate(model, few.x, few.y, attacks=long, **options)
    cut = robench.evaluate(model, few.x, few.y, attacks=long, max_queries=most, **options)
    for result in cut.results:
        record = result.record
        longer = whole[record.header.attack.name.removesuffix(f"-within-{most}")].result.record
        broken = record.clean & ~record.robust
        assert (record.queries[broken] <= most).all()
        within_budget = longer.clean & ~longer.robust & (longer.queries <= most)
        asked = bind(record.header.attack).cost(record.header.attack.steps, 10)[0]
        within_budget &= longer.queries <= asked  # the steps of ZOO are pairs of queries
        assert (broken == within_budget).all()
        assert record.header.forwards <= most * record.clean.sum()


def test_from_the_command_line(cli, tmp_path):
    command = ("eval", "--model", "pgdat", "--attack", "square", "--attack", "pgd-20", "--limit", 5)
    said = cli(*command, "--max-queries", 50, "--results", tmp_path)
    assert said.code == 0
    assert "square-within-50" in said.out
    assert "pgd-20 " in said.out
    refused = cli(*command, "--max-queries", 0, "--results", tmp_path)
    assert refused.code == 2
    assert "square" in refused.sentence


def test_every_black_box_attack_has_a_budget():
    for spec in battery_attacks("blackbox"):
        assert bind(spec).cost(spec.steps, 10)[0] <= 20_561
