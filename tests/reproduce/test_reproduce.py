"""Reproductions: what they measure and write."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image

from robench.cli.reproduce import NAMES
from robench.data.class_names import CIFAR10
from robench.paths import CACHE, data_root
from robench.report.paper import PAPER_TABLES, View, paper_table
from robench.report.paper.seeds import compare
from robench.reproduce import REPRODUCTIONS, ReproductionRun, find_reproduction
from robench.reproduce.figures import bars, lines
from robench.reproduce.gradients import training_examples
from robench.store import read_file

TABLES = data_root() / "results" / "tables" / "digits"


@pytest.fixture
def run(tmp_path):
    return ReproductionRun("digits", tmp_path / "results", tmp_path / "trained", torch.device("cpu"))


@pytest.mark.parametrize("target", sorted(REPRODUCTIONS))
def test_every_reproduction_is_committed(target):
    for table in find_reproduction(target).tables:
        assert table in PAPER_TABLES
        for suffix in (".md", ".csv"):
            assert (TABLES / f"{table}{suffix}").is_file()
    for picture in find_reproduction(target).pictures:
        for suffix in (".png", ".svg"):
            assert (data_root() / "results" / "figures" / "digits" / f"{picture}{suffix}").is_file()


def test_table_7_is_measured_and_published(run):
    find_reproduction("table7").need(run)
    kept = list(read_file(run.results / "digits" / "standard.jsonl"))
    assert {record.header.attack.name for record in kept} == {"pgd-1", "pgd-2", "fn-pgd-1", "fn-pgd-2"}
    ours = paper_table("table7", run.source, View(against=True))
    with (TABLES / "table7.csv").open(newline="") as stream:
        committed = {row.pop("attack"): row for row in csv.DictReader(stream)}
    assert {name: dict(cells) for name, cells in ours.rows.items()} == committed
    assert committed["pgd-2, with FN"]["accuracy (paper)"] == "33.75"


@pytest.mark.slow
def test_a_derived_defense_is_trained_once_and_published_under_its_name(run):
    card = run.derived("fastat", "fastat-short", {"recipe.epochs": 1})
    run.evaluate(card, ["pgd-20"])
    run.evaluate(run.derived("fastat", "fastat-short", {"recipe.epochs": 1}), ["fgsm"])
    assert set(run.source.records("fastat-short")) == {"pgd-20", "fgsm"}
    run.evaluate(run.derived("fastat", "fastat-short", {"recipe.epochs": 2}), ["pgd-20"])
    (record,) = read_file(run.results / "digits" / "derived" / "fastat-short.jsonl")
    assert record.header.attack.name == "pgd-20"


@pytest.mark.slow
def test_gradient_ratios_of_a_linear_probe(run):
    find_reproduction("fig3").need(run)
    table = paper_table("fig3", run.source, View())
    for cells in table.rows.values():
        assert all(float(value) > 0 for value in cells.values())
    assert "head.weight" in table.rows


def test_gradients_are_measured_on_every_class_in_proportion(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    for label, name in enumerate(CIFAR10):  # ordered by class
        folder = tmp_path / "cifar10-jpeg" / "train" / name
        folder.mkdir(parents=True)
        for at in range(26):
            Image.new("RGB", (4, 4), (label, at, 0)).save(folder / f"{at:02}.jpg")
    split = training_examples("cifar10-jpeg", tmp_path)
    assert len(split) == 256
    assert set(np.bincount(split.y).tolist()) <= {25, 26}
    assert len(training_examples("digits", None)) == 256


def test_paired_difference_counts_only_disagreements():
    plain = np.array([True, True, False, False, True])
    he = np.array([True, False, True, True, True])
    difference, p = compare(plain, he)
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
    assert set(NAMES) == set(REPRODUCTIONS)
