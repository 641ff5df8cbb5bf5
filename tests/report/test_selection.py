"""Which records stand together: one of each attack, the newest, by its declared name."""

import pytest

from robench.algorithms.square import Square
from robench.report import base_name, load, select
from robench.report.publish import publish
from robench.store import read_file

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
