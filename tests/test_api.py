"""What Python and notebooks get: tables, leaderboard, corruption reports."""

import pytest
import torch

import robench
from robench.corruptions import corrupt
from robench.errors import IncompleteError, InputError
from robench.paths import data_root
from tests.support.toys import Toy

RESULTS = data_root() / "results"


@pytest.fixture
def network():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, 4)).eval()


@pytest.fixture
def images():
    return torch.rand(24, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_a_table_for_a_notebook():
    table = robench.table("table2", against="paper", results=RESULTS)
    frame = table.to_frame()
    assert frame.loc["pgdat", "pgd-20 (paper)"] == 53.97
    assert frame["pgd-20"].mean() == pytest.approx(83.70, abs=0.01)
    low, worst, high = (frame.loc["pgdat", f"worst case{end}"] for end in (" low", "", " high"))
    assert low < worst < high
    assert str(table).startswith("White-box attacks (Table 2)")
    text = table._repr_html_()
    assert "<strong>" in text
    assert "<caption>White-box attacks (Table 2)</caption>" in text


def test_main_tables_can_be_narrowed():
    table = robench.table("robustness", models=["pgdat"], battery="fast", results=RESULTS)
    assert list(table.rows) == ["digits/pgdat"]
    assert table.columns[-1] == "cascade"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "tabel2"}, "did you mean table2"),
        ({"name": "table2", "against": "robustbench"}, "--against paper"),
        ({"name": "robustness", "models": ["pgdatt"]}, "did you mean"),
    ],
)
def test_what_cannot_be_shown_is_said(options, words):
    with pytest.raises(InputError, match=words):
        robench.table(**options, results=RESULTS)


def test_without_records_there_is_nothing_to_show(tmp_path):
    with pytest.raises(IncompleteError, match="robench eval"):
        robench.table("robustness", results=tmp_path)


def test_the_leaderboard_for_a_notebook():
    frame = robench.leaderboard(str(RESULTS)).to_frame()
    assert "trades_he" in set(frame["defense"])
    assert frame["worst case"].max() < 100


def test_a_table_without_a_number_of_ones_own_is_none(tmp_path):
    with pytest.raises(IncompleteError, match=r"robench eval --model digits/pgdat .*--results"):
        robench.table("table2", results=tmp_path)


def test_a_network_of_ones_own_on_corruptions(network, images):
    y = network(images).argmax(1)
    report = robench.evaluate_corruptions(network, images, y, seed=3)
    assert report.accuracy("clean") == 100
    right = (network(corrupt(images, "fog", 4, range(24), 3)).argmax(1) == y).float().mean()
    assert report.accuracy("fog", 4) == pytest.approx(100 * right.item())
    assert 0 < report.mca < 100
    assert len(report.to_frame()) == 76
    assert "mCA" in str(report)
    assert "<table>" in report._repr_html_()
    with pytest.raises(InputError, match="did you mean fog"):
        report.accuracy("fogg", 4)


def test_the_worst_rotation_and_translation_of_ones_own_network(network, images, tmp_path):
    y = network(images).argmax(1)
    report = robench.evaluate_corruptions(network, images, y, spatial=True, results=tmp_path)
    assert report.accuracy("rotation_translation") <= report.accuracy("clean") == 100
    assert "775 views" in str(report)
    with pytest.raises(IncompleteError, match="no mCA"):
        _ = report.mca
    again = robench.evaluate_corruptions(network, images, y, spatial=True, results=tmp_path)
    assert again.sweep == report.sweep


def test_only_networks_are_corrupted(images):
    with pytest.raises(InputError, match=r"expected a torch.nn.Module"):
        robench.evaluate_corruptions(lambda x: x, images, torch.zeros(24, dtype=torch.int64))  # type: ignore[arg-type]


def test_an_evaluation_for_a_notebook():
    report = robench.evaluate(Toy(), torch.rand(4, 1, 4, 4), [0, 1, 2, 3], attacks=["fgsm"], eps=0.1)
    assert "<table>" in report._repr_html_()
