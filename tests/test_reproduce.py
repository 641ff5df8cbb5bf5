"""Reproductions: what they write, and that what is committed agrees with the published records."""

import csv
from functools import reduce

import numpy as np
import pytest
import torch

from robench.cli.reproduce import NAMES
from robench.paths import data_root
from robench.reproduce import TARGETS, Workshop
from robench.reproduce.figures import bars, lines
from robench.reproduce.gradients import hard_examples, normalised_attack
from robench.reproduce.seeds import _compare
from robench.reproduce.workshop import published
from robench.store import read_published

TABLES = data_root() / "results" / "tables" / "digits"
CROSS_CHECKED = ("ablation", "appendix-table2", "table3", "table8")


@pytest.fixture
def shop(tmp_path):
    return Workshop("digits", tmp_path / "results", tmp_path / "trained", torch.device("cpu"))


def rows(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def verdicts():
    return {
        (record.header.model.partition("/")[2], record.header.attack.name): record
        for record in read_published(data_root() / "results")
        if record.header.dataset == "digits" and record.header.seed == 0
    }


@pytest.mark.parametrize("name", [*CROSS_CHECKED, "table6"])
def test_committed_tables_agree_with_published_records(name, verdicts):
    for row in rows(TABLES / f"{name}.csv"):
        defense = row["defense"]
        attacks = [column for column in row if (defense, column) in verdicts]
        assert attacks
        for attack in attacks:
            assert row[attack] == f"{verdicts[defense, attack].robust_accuracy:.2f}"
        robust = reduce(np.logical_and, [verdicts[defense, attack].robust for attack in attacks])
        assert row["worst case"].split()[0] == f"{100 * robust.mean():.2f}"
        assert row["clean"] == f"{verdicts[defense, attacks[0]].clean_accuracy:.2f}"


@pytest.mark.parametrize("name", CROSS_CHECKED)
def test_published_numbers_stand_beside_ours(name):
    source = {
        "ablation": "sec41_ablation_adaptive",
        "appendix-table2": "appendix_table2_mhe",
        "table8": "table8_blackbox_cifar10",
    }.get(name, "table3_fast_frameworks_cifar10")
    paper = {row["defense"]: row for row in published(source) if "attack" not in row or row["attack"] == "pgd-20"}
    column = {"ablation": "accuracy", "appendix-table2": "pgd-20", "table8": "nes-80"}.get(name, "pgd-50")
    shown = {"table3": "pgd-50 (paper)", "table8": "nes-80 (paper)"}.get(name, "pgd-20 (paper)")
    ours = {row["defense"]: row for row in rows(TABLES / f"{name}.csv")}
    compared = [defense for defense in paper if defense in ours]
    assert compared
    for defense in compared:
        if shown in ours[defense] and ours[defense][shown]:
            assert ours[defense][shown] == paper[defense][column]


@pytest.mark.parametrize("target", sorted(set(TARGETS) - {"seeds"}))
def test_every_reproduction_is_committed(target):
    for suffix in (".md", ".csv"):
        assert (TABLES / f"{target}{suffix}").is_file()
    if target.startswith("fig"):
        for suffix in (".png", ".svg"):
            assert (data_root() / "results" / "figures" / "digits" / f"{target}{suffix}").is_file()


def test_table_7_is_written_with_the_paper_beside(shop):
    written = shop.write(normalised_attack(shop))
    assert sorted(path.name for path in written) == ["table7.csv", "table7.md"]
    ours = {row["attack"]: row for row in rows(shop.results / "tables" / "digits" / "table7.csv")}
    assert ours["pgd-2, with FN"]["accuracy (paper)"] == "33.75"
    assert written[0].read_text() == (TABLES / "table7.md").read_text()


def test_gradient_ratios_of_a_linear_probe(shop):
    (product,) = hard_examples(shop)
    for cells in product.table.rows.values():
        assert all(float(value) > 0 for value in cells.values())
    assert "head.weight" in product.table.rows


def test_paired_difference_counts_only_disagreements():
    plain = np.array([True, True, False, False, True])
    he = np.array([True, False, True, True, True])
    difference, p = _compare(plain, he)
    assert difference == pytest.approx(20.0)
    assert p == 1.0


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_pictures_are_the_same_every_time(tmp_path, suffix):
    for name in ("a", "b"):
        lines(tmp_path / f"{name}{suffix}", [1, 2, 3], {"one": [1, 2, 3], "two": [3, 2, 1]}, "x", "y")
        bars(tmp_path / f"{name}-bars{suffix}", ["g", "h"], {"one": [1, 2], "two": [2, 1]}, "y")
    for kind in ("", "-bars"):
        assert (tmp_path / f"a{kind}{suffix}").read_bytes() == (tmp_path / f"b{kind}{suffix}").read_bytes()


def test_help_names_everything_that_can_be_reproduced():
    assert set(NAMES) == set(TARGETS)
