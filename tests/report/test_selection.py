"""Which records stand together: one of each attack, the newest, by its declared name."""

import pytest

import robench
from robench.algorithms.square import Square
from robench.classifiers import load_model
from robench.paths import data_root
from robench.report import base_name, load, select
from robench.report.publish import publish, publish_records
from robench.report.selection import CurrentCatalogue
from robench.specs import find_attack
from robench.store import Record, read_file, write_file

SMALL = ("eval", "--model", "pgdat", "--limit", 20)


def test_of_two_versions_of_an_attack_the_newer_counts(cli, tmp_path, monkeypatch):
    command = (*SMALL, "--attack", "square", "--max-queries", 50, "--results", tmp_path)
    assert cli(*command).code == 0
    publish(tmp_path)
    path = tmp_path / "digits" / "pgdat.jsonl"
    (old,) = read_file(path)
    monkeypatch.setattr(Square, "version", 99)
    monkeypatch.setattr("robench.evaluation.run.datetime", Later)
    assert cli(*command).code == 0
    selection = select(load(tmp_path))
    (shown,) = selection.defenses["digits/pgdat"]
    assert shown.header.hash != old.header.hash
    assert selection.left_out == 1
    publish(tmp_path)
    (kept,) = read_file(path)
    assert kept.header.hash == shown.header.hash


class Later:
    @staticmethod
    def now(zone):
        from datetime import datetime

        return datetime(2099, 1, 1, tzinfo=zone)


def test_budgets_and_substitutes_belong_to_their_batteries(cli, tmp_path):
    assert cli(*SMALL, "--attack", "square", "--max-queries", 50, "--results", tmp_path).code == 0
    assert cli(*SMALL, "--battery", "transfer", "--substitute", "alp", "--results", tmp_path).code == 0
    black = cli("report", "robustness", "--battery", "blackbox", "--results", tmp_path, "--format", "md")
    assert "square-within-50" in black.out
    assert "transfer" not in black.out
    moved = cli("report", "robustness", "--battery", "transfer", "--results", tmp_path, "--format", "md")
    assert "transfer-pgd-20-from-alp" in moved.out
    assert "To fill" not in moved.out


@pytest.mark.parametrize(
    ("name", "declared"),
    [("pgd-20", "pgd-20"), ("zoo-within-100", "zoo"), ("transfer-pgd-20-from-a+b", "transfer-pgd-20")],
)
def test_declared_names(name, declared):
    assert base_name(name) == declared


def test_publishing_keeps_a_former_attack_whose_name_was_given_to_another(tmp_path):
    """A file from before the second cascade gets the new record beside the old one, which has a new name."""
    path = tmp_path / "digits" / "pgdat.jsonl"
    path.parent.mkdir()
    committed = [each for each in read_file(data_root() / "results" / "digits" / "pgdat.jsonl") if not each.header.seed]
    former, now = (
        next(each for each in committed if each.header.attack.name == name) for name in ("cascade-1", "cascade")
    )
    older = former.header.attack.model_copy(update={"name": "cascade"})
    header = former.header.model_copy(update={"attack": older})
    write_file(path, [Record(header, former.clean, former.robust, former.step)])
    for _ in range(2):
        publish_records(tmp_path, [now])
        found = {each.header.attack.name: each.header.hash for each in read_file(path)}
        assert found == {"cascade-1": former.header.hash, "cascade": now.header.hash}


def test_the_short_control_of_a_few_examples_is_the_declared_one(digits):
    model = load_model("standard")
    (result,) = robench.evaluate(model, digits.x[:10], digits.y[:10], attacks=["control"], eps="0.01").results
    assert result.record.header.attack.steps < find_attack("control").steps
    assert result.record in CurrentCatalogue()
