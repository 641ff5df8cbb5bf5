"""What `--dry-run` foretells, held against published records that it was not shown."""

from dataclasses import replace

import pytest

from robench.algorithms import bind
from robench.evaluation.cost import CostHistory, SpeedProbe
from robench.evaluation.progress import Quiet
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate, plan
from robench.paths import data_root
from robench.report import load, select
from robench.specs import ThreatModel, battery_attacks, find_attack, find_card
from robench.store import Store
from tests.support.toys import stopped_after_a_chunk

BAR = 0.3
PASSES = 3
"""A backward costs about two forwards."""


@pytest.fixture(scope="module")
def published():
    return [record for record in load(data_root() / "results", published=True) if record.header.model.count("/") == 1]


def defenses():
    return [f"digits/{path.stem}" for path in sorted((data_root() / "results" / "digits").glob("*.jsonl"))]


@pytest.mark.parametrize("name", [name for name in defenses() if name != "digits/standard"])
def test_the_passes_of_a_battery_are_foretold_from_other_defenses(published, name):
    """But for standard training: the history of the others knows no network that every attack breaks at once."""
    records = {record.header.attack.name: record for record in select(published).defenses[name]}
    speed_probe, history = records["pgd-20"], CostHistory(published, without=name)
    correct, survivors = speed_probe.clean.sum(), speed_probe.robust_accuracy / speed_probe.clean_accuracy
    expected = spent = 0
    known = [spec for spec in battery_attacks("paper") if spec.name in records]  # stale records are no records
    assert len(known) >= 12
    for spec in known:
        header = records[spec.name].header
        if header.derived_from:
            continue
        forwards, backwards = history.passes(spec, survivors, 10)
        expected += correct * (forwards + (PASSES - 1) * backwards)
        spent += header.forwards + (PASSES - 1) * header.backwards
    assert expected == pytest.approx(spent, rel=BAR)


def test_nothing_is_foretold_beyond_the_most(published):
    history = CostHistory(published)
    for spec in battery_attacks("full"):
        most = bind(spec).cost(spec.steps, 10)
        for survivors in (0.0, 0.4, 1.0):
            forwards, backwards = history.passes(spec, survivors, 10)
            assert 0 < forwards <= most[0] * spec.restarts
            assert backwards >= 0


def test_without_a_history_survivors_take_the_most():
    spec = find_attack("pgd-20")
    assert CostHistory([]).passes(spec, 1.0, 10) == (21, 20)
    forwards, backwards = CostHistory([]).passes(spec, 0.0, 10)
    assert forwards < 6
    assert backwards < 6


def test_seconds_add_up():
    speed_probe = SpeedProbe(clean=1.0, survivors=0.5, forward=0.1, backward=0.3, alone=0.4, tried=100)
    assert speed_probe.seconds(10, 5, steps=20, correct=50) == pytest.approx(2.5)
    alone = replace(speed_probe, alone=2.4)
    assert alone.seconds(10, 5, steps=20, correct=50) == pytest.approx(2.5 + 20 * 2.0), "half survive: some will last"
    assert alone.seconds(10, 0, steps=20, correct=50) == pytest.approx(1.0 + 20 * 0.5), "a quarter without passes back"


def test_where_the_pilot_saw_no_survivor_one_may_last_among_many():
    speed_probe = SpeedProbe(clean=1.0, survivors=0.0, forward=0.0, backward=0.1, alone=1.1, tried=98)
    assert speed_probe.seconds(0, 1, steps=1, correct=1) == pytest.approx(0.1 + 0.01)
    assert speed_probe.seconds(0, 1, steps=1, correct=1000) == pytest.approx(1.1, abs=1e-4)


@pytest.mark.slow
def test_what_an_interrupted_run_has_stored_is_not_counted_again(published, digits, tmp_path, monkeypatch):
    split, spec, threat = digits.limit(100), find_attack("mim-20"), ThreatModel.parse("linf", "0.2")
    under_test, settings = NetworkUnderTest.of_card(find_card("pgdat")), Settings(device="cpu", chunk_size=50)
    request, store = EvaluationRequest(under_test, split, threat, (spec,), settings), Store(tmp_path)
    history = CostHistory(published)
    (whole,) = plan(request, store, history)
    with stopped_after_a_chunk(monkeypatch):
        evaluate(request, store, Quiet())
    (rest,) = plan(request, store, history)
    assert rest.source == "compute, 50 of 100 examples are stored"
    assert rest.forwards == pytest.approx(whole.forwards / 2, abs=1)
    assert rest.most == whole.most / 2


def test_a_cheaper_battery_is_named_also_where_it_is_a_part_of_what_is_asked(cli, tmp_path):
    said = cli("eval", "--model", "pgdat", "--battery", "paper", "--limit", 100, "--dry-run", "--results", tmp_path)
    assert said.code == 0
    assert "Cheaper: --battery fast" in said.out


def test_the_pilot_of_a_defense_sees_what_its_record_says(published, digits, tmp_path):
    card = find_card("pgdat")
    under_test, threat = NetworkUnderTest.of_card(card), ThreatModel.parse("linf", "0.2")
    request = EvaluationRequest(under_test, digits, threat, (find_attack("pgd-500"),), Settings(device="cpu"))
    history = CostHistory(published, without=card.name)
    (planned,) = plan(request, Store(tmp_path), history)
    record = {record.header.attack.name: record for record in select(published).defenses[card.name]}["pgd-500"]
    assert planned.forwards == pytest.approx(record.header.forwards, rel=BAR)
    assert planned.seconds > 0
    (unknown,) = plan(request, Store(tmp_path))
    assert (unknown.seconds, unknown.most) == (None, 501 * 540)
