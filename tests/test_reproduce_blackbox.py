"""Tables 6 and 8 from planted records: their numbers, the paper's beside, the curves and their picture."""

import csv

import pytest
import torch
from test_queries import planted

from robench.outcome import Result
from robench.report import Evaluation
from robench.reproduce import Workshop, find_target
from robench.reproduce.blackbox import ASKING
from robench.reproduce.figures import falls


@pytest.fixture
def shop(tmp_path, monkeypatch):
    def evaluate(self, card, attacks):
        he = card.name.endswith("_he")
        found = [planted(name, first(name, he), card.name) for name in attacks]
        return Evaluation(tuple(Result(record, "stored", 0, 0, 0.0) for record in found))

    monkeypatch.setattr(Workshop, "evaluate", evaluate)
    return Workshop("digits", tmp_path / "results", tmp_path / "trained", torch.device("cpu"))


def first(attack, he):
    """When each of ten examples was first broken: with HE one fewer, by RayS another one, late by nes-80 alone."""
    broken = [None if he else 3, 700]
    late = 12_000 if attack == "nes-80" else None
    return [0, *([*broken, None] if attack == "rays" else [None, *broken]), late, *[None] * 5]


def written(shop, target):
    files = {path.name: path for path in shop.write(find_target(target)(shop))}
    read = {}
    for name, path in files.items():
        if path.suffix == ".csv":
            with path.open(newline="") as stream:
                read[name] = {next(iter(row.values())): row for row in csv.DictReader(stream)}
    return files, read


def test_table_8_is_written_with_the_paper_beside(shop):
    files, read = written(shop, "table8")
    pictures = {f"blackbox-queries{suffix}" for suffix in (".png", ".svg")}
    tables = {f"{name}{end}" for name in ("table8", "blackbox-queries", "blackbox-curves") for end in (".md", ".csv")}
    assert files.keys() == tables | pictures
    assert list(read["table8.csv"]) == ["pgdat", "pgdat_he", "alp", "alp_he", "trades", "trades_he"]
    plain, he = read["table8.csv"]["pgdat"], read["table8.csv"]["pgdat_he"]
    assert [plain[column] for column in ("clean", "zoo", "nes-20", "nes-80")] == ["90.00", "70.00", "70.00", "60.00"]
    assert [he[column] for column in ("zoo", "nes-80", "worst case")] == ["80.00", "70.00", "70.00 [39.7, 89.2]"]
    assert [he[f"{column} (paper)"] for column in ("zoo", "nes-80", "spsa-20")] == ["74.65", "69.92", "73.66"]


def test_table_8_comes_with_its_curves(shop):
    _, read = written(shop, "table8")
    asked, curves = read["blackbox-queries.csv"], read["blackbox-curves.csv"]
    assert len(asked) == 6 * len(ASKING)
    assert asked["digits/trades nes-80"]["mean queries"] == "4234.3"
    assert asked["digits/trades nes-80"]["after 10000"] == "70.00"
    assert asked["digits/trades nes-80"]["after 20000"] == "60.00"
    assert [curves[q]["alp square"] for q in ("2", "3", "500", "700", "5000", "7000")] == [
        "90.00", "80.00", "80.00", "70.00", "70.00", "",
    ]  # fmt: skip
    assert list(curves)[-1] == "20000"


def test_table_6_is_written_with_the_paper_beside(shop):
    files, read = written(shop, "table6")
    assert files.keys() == {"table6.md", "table6.csv"}
    rows = read["table6.csv"]
    assert list(rows) == ["pgdat", "pgdat_he", "trades", "trades_he"]
    paper = [rows["pgdat_he"][f"{column} (paper)"] for column in ("clean", "rays", "autoattack")]
    assert paper == ["86.25", "57.8", "53.16"]
    assert not rows["trades"]["rays (paper)"]
    ours = [rows["trades"][column].split()[0] for column in ("clean", "rays", "autoattack", "worst case")]
    assert ours == ["90.00", "70.00", "70.00", "60.00"]
    text = files["table6.md"].read_text()
    assert "WRN-34-20 has 85.14 clean, 59.0 under RayS, 53.74 under AutoAttack" in text
    assert "0.031" not in text


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_falling_curves_are_the_same_every_time(tmp_path, suffix):
    for name in ("a", "b"):
        falls(
            tmp_path / f"{name}{suffix}",
            {"one": {"u": [([1, 5], [90.0, 80.0])] * 2}, "two": {"v": [([1, 9], [90.0, 70.0])] * 2}},
            ("without", "with"),
            "x",
            "y",
        )
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()
