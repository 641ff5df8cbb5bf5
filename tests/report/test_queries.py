"""The table of queries and its curves: against values counted by hand, and from what is published."""

import pytest

import robench
from robench.algorithms import bind
from robench.report import Selection, accuracy_after, budget, curve, longest, queries
from robench.specs import COUNTED, battery_attacks, find_attack
from robench.store import read_published, write_file
from tests.support.queries import planted


def table(*records):
    defenses = {}
    for record in records:
        defenses.setdefault(record.header.model, []).append(record)
    return queries(Selection(defenses, 0))


def test_a_curve_falls_where_examples_were_first_broken():
    asked, accuracy = curve(planted())
    assert asked.tolist() == [0, 3, 50, 700]
    assert accuracy.tolist() == [90, 70, 60, 50]


@pytest.mark.parametrize(("asked", "left"), [(0, 90), (2, 90), (3, 70), (49, 70), (50, 60), (699, 60), (10**6, 50)])
def test_accuracy_after_some_queries(asked, left):
    assert accuracy_after(planted(), asked) == left


def test_after_fewer_steps_later_successes_have_not_happened():
    record = planted("square", [0, 3, 50, None])
    record.step = record.queries
    cut = record.after(10)
    assert cut.robust.tolist() == [False, False, True, True]
    assert cut.step.tolist() == cut.queries.tolist() == [0, 3, -1, -1]
    assert cut.clean.tolist() == record.clean.tolist()


def test_a_row_holds_what_a_success_costs():
    made = table(planted())
    assert made.rows == {
        "digits/pgdat square": {
            "robust accuracy": "50.00 [23.7, 76.3]", "successes": "4", "mean queries": "189.0",
            "median queries": "26.5", "budget": "5000", "after 100": "60.00", "after 500": "60.00",
            "after 1000": "50.00", "after 2000": "50.00", "after 5000": "50.00",
        }
    }  # fmt: skip
    assert made.columns[-2:] == ["after 10000", "after 20000"]


def test_an_attack_without_success_has_no_mean():
    ((_, row),) = table(planted("rays", [None, None, 0])).rows.items()
    assert row["successes"] == "0"
    assert not {"mean queries", "median queries"} & row.keys()
    assert row["after 100"] == row["after 10000"] == "66.67"


def test_beginnings_of_longer_runs_have_no_row():
    names = ["square", "nes-20", "nes-50", "nes-80", "spsa-20", "zoo"]
    made = table(*map(planted, names), planted("nes-20", model="digits/pgdat_he"))
    assert list(made.rows) == [
        *(f"digits/pgdat {name}" for name in ("square", "nes-80", "spsa-20", "zoo")), "digits/pgdat_he nes-20",
    ]  # fmt: skip
    assert "Not shown, the beginnings of longer runs: nes-20, nes-50." in made.notes


def test_only_runs_whose_beginnings_are_attacks_are_folded():
    records = [planted(name) for name in ("nes-20", "nes-80")]
    for record in records:
        record.header = record.header.model_copy(update={"has_curve": False})
    assert longest(records) == records


def test_gradient_attacks_have_no_row():
    made = table(planted("pgd-20"))
    assert not made.rows
    assert "--battery blackbox" in made.notes[0]


def test_without_queries_a_row_keeps_its_accuracy():
    old = planted(kept=False)
    ((name, row),) = (made := table(old)).rows.items()
    assert row == {"robust accuracy": "50.00 [23.7, 76.3]", "successes": "4", "budget": "5000"}
    assert made.notes[-1] == f"Published before queries were kept: {name}."
    with pytest.raises(ValueError, match="'square' on digits/pgdat keeps no queries"):
        curve(old)


@pytest.mark.parametrize("attack", ["square", "nes-80", "rays"])
def test_published_records_keep_their_curve(tmp_path, attack):
    record = planted(attack)
    write_file(tmp_path / "digits" / "pgdat.jsonl", [record])
    (read,) = read_published(tmp_path)
    for ours, theirs in zip(curve(read), curve(record), strict=True):
        assert ours.tolist() == theirs.tolist()
    assert table(read) == table(record)


def declared():
    return [spec.name for spec in battery_attacks("full") if spec.access in COUNTED]


@pytest.mark.parametrize("name", declared())
def test_budgets_are_what_the_algorithms_ask_at_most(name):
    spec = find_attack(name)
    assert budget(planted(name)) == spec.restarts * bind(spec).cost(spec.steps, 10)[0]


def test_of_an_unknown_algorithm_only_what_was_asked_is_shown():
    record = planted()
    stanza = record.header.attack.model_copy(update={"algorithm": "novel"})
    record.header = record.header.model_copy(update={"attack": stanza})
    ((_, row),) = table(record).rows.items()
    assert "budget" not in row
    assert [column for column in row if column.startswith("after")] == ["after 100", "after 500"]


def test_after_fewer_queries_stands_what_a_shorter_run_leaves(digits):
    few = digits.limit(30)
    square = find_attack("square")
    runs = [square.model_copy(update={"name": f"square-{steps}", "steps": steps}) for steps in (10, 60)]
    model = robench.load_model("standard")
    alone = [robench.evaluate(model, few.x, few.y, ids=few.ids, attacks=[run], eps="0.2") for run in runs]
    short, long = (evaluation[run.name].result.record for run, evaluation in zip(runs, alone, strict=True))
    assert accuracy_after(long, budget(short)) == short.robust_accuracy < short.clean_accuracy
    assert accuracy_after(long, budget(long)) == long.robust_accuracy


def test_the_command_shows_only_tables_with_rows(cli, tmp_path):
    write_file(tmp_path / "digits" / "pgdat.jsonl", [planted("pgd-20")])
    assert "Black-box" not in cli("report", "--results", tmp_path).out
    said = cli("report", "queries", "--results", tmp_path)
    assert said.code == 0
    assert "robench eval --model NAME --battery blackbox" in said.out
