"""Tables 6 and 8 from planted records: their numbers, the paper's beside, the curves and their picture."""

import pytest

from robench.report.paper import VerdictSource, View, paper_table
from robench.report.paper.blackbox import ASKING
from robench.report.paper.published import layouts
from robench.report.paper.seeds import MAIN
from robench.reproduce.figures import falls
from robench.reproduce.pictures import queries
from tests.support.queries import planted


@pytest.fixture
def source(tmp_path):
    class Planted(VerdictSource):
        """Whatever is asked for, of ten examples."""

        def records(self, defense):
            asked = {*layouts()["table8"].attacks, *layouts()["table6"].attacks, *ASKING}
            he = defense.endswith("_he")
            return {name: planted(name, first(name, he), f"digits/{defense}") for name in asked}

    return Planted("digits", tmp_path)


def first(attack, he):
    """When each of ten examples was first broken: with HE one fewer, by RayS another one, late by nes-80 alone."""
    broken = [None if he else 3, 700]
    late = 12_000 if attack == "nes-80" else None
    return [0, *([*broken, None] if attack == "rays" else [None, *broken]), late, *[None] * 5]


def test_table_8_has_the_paper_beside(source):
    rows = paper_table("table8", source, View(against=True)).rows
    assert list(rows) == ["pgdat", "pgdat_he", "alp", "alp_he", "trades", "trades_he"]
    plain, he = rows["pgdat"], rows["pgdat_he"]
    assert [plain[column] for column in ("clean", "zoo", "nes-20", "nes-80")] == ["90.00", "70.00", "70.00", "60.00"]
    assert [he[column] for column in ("zoo", "nes-80", "worst case")] == ["80.00", "70.00", "70.00 [39.7, 89.2]"]
    assert [he[f"{column} (paper)"] for column in ("zoo", "nes-80", "spsa-20")] == ["74.65", "69.92", "73.66"]
    assert "zoo (difference)" not in he  # digits are not CIFAR-10


def test_table_8_comes_with_its_curves(source, tmp_path):
    asked = paper_table("blackbox-queries", source, View()).rows
    curves = paper_table("blackbox-curves", source, View()).rows
    assert len(asked) == len(MAIN) * len(ASKING)
    assert asked["trades nes-80"]["mean queries"] == "4234.3"
    assert asked["trades nes-80"]["after 10000"] == "70.00"
    assert asked["trades nes-80"]["after 20000"] == "60.00"
    assert [curves[q].get("alp square", "") for q in ("2", "3", "500", "700", "5000", "7000")] == [
        "90.00", "80.00", "80.00", "70.00", "70.00", "",
    ]  # fmt: skip
    assert list(curves)[-1] == "20000"
    queries(source, tmp_path / "curves.svg")
    assert "<svg" in (tmp_path / "curves.svg").read_text()


def test_table_6_has_the_paper_beside(source):
    table = paper_table("table6", source, View(against=True))
    assert list(table.rows) == ["pgdat", "pgdat_he", "trades", "trades_he"]
    paper = [table.rows["pgdat_he"][f"{column} (paper)"] for column in ("clean", "rays", "autoattack")]
    assert paper == ["86.25", "57.8", "53.16"]
    assert "rays (paper)" not in table.rows["trades"]
    ours = [table.rows["trades"][column].split()[0] for column in ("clean", "rays", "autoattack", "worst case")]
    assert ours == ["90.00", "70.00", "70.00", "60.00"]
    assert any("WRN-34-20" in note for note in table.notes)
    assert not any("0.031" in note for note in table.notes)


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
