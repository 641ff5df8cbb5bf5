"""What Python and notebooks get: tables, leaderboard, corruption reports."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import robench
from robench.classifiers.normalised import normalised
from robench.corruptions import corrupt
from robench.errors import IncompleteError, InputError
from robench.evaluation.request import network_identity
from robench.paths import data_root
from robench.specs import Input
from tests.support.programs import quietly
from tests.support.toys import Toy, X, Y

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
    assert table.columns[-2:] == ["cascade", "control"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "tabel2"}, "did you mean table2"),
        ({"name": "table2", "against": "robustbench"}, "is for the table robustness"),
        ({"name": "table2", "against": "papers"}, "--against"),
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
    report = robench.evaluate(Toy(), X, Y, attacks=["fgsm"], eps=0.1)
    assert "<table>" in report._repr_html_()


# ---- Normalisation ----

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.25)
KINDS: tuple[Callable[[Any], Any], ...] = (tuple, np.array, torch.tensor)


def test_normalisation_goes_before_the_network(network, images):
    options: dict[str, Any] = {"eps": "1/255", "attacks": ["pgd-10"], "device": "cpu"}
    shape = (1, 3, 1, 1)
    y = network((images - torch.tensor(MEAN).view(shape)) / torch.tensor(STD).view(shape)).argmax(1)

    class Inside(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.network = network

        def forward(self, x):
            return self.network((x - torch.tensor(MEAN).view(shape)) / torch.tensor(STD).view(shape))

    inside = robench.evaluate(Inside().eval(), images, y, **options).results[0].record
    for kind in KINDS:
        given = robench.evaluate(network, images, y, mean=kind(MEAN), std=kind(STD), **options).results[0].record
        assert (given.robust == inside.robust).all()
        assert (given.clean == inside.clean).all()
        assert given.header.model_identity != inside.header.model_identity
    one = robench.evaluate_corruptions(network, images, y, mean=0.5, std=0.5, device="cpu")
    other = robench.evaluate_corruptions(network, images, y, mean=[0.5] * 3, std=[0.5] * 3, device="cpu")
    assert str(one) == str(other)


@pytest.mark.parametrize(
    ("mean", "std", "words"),
    [
        (0.5, None, "belong together"),
        ((0.5, 0.5), 0.5, "mean has 2 values and std 1"),
        (0.5, 0.0, "each std above 0"),
        (float("nan"), 0.5, "finite"),
        ((120.0,), (60.0,), "by 255"),
        ("a", 1, "give numbers"),
        ((0.5, 0.5), (0.5, 0.5), "images of 3 channels, normalised by 2 values"),
    ],
)
def test_normalisation_that_is_none_is_refused(network, images, mean, std, words):
    with pytest.raises(InputError, match=words):
        robench.evaluate(network, images, images[:, 0, 0, 0].long(), eps=0.1, mean=mean, std=std)


def test_no_normalisation_can_be_said(network, images):
    y = network(images).argmax(1)
    report = robench.evaluate(network, images, y, mean="none", eps="1/255", attacks=["fgsm"], device="cpu")
    assert str(report["fgsm"].result.record.header.normalisation) == "images not normalised (as said)"
    assert report.to_frame().normalisation.tolist() == ["Images not normalised (as said)."]


def test_normalisation_is_on_the_networks_device():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)).to("meta")
    made = normalised(network, Input(mean=[0.5], std=[0.5]))
    assert {each.device.type for each in (*made.parameters(), *made.buffers())} == {"meta"}


def test_programs_of_other_code_have_other_records():
    one, other = (
        quietly(torch.jit.trace, torch.nn.Sequential(torch.nn.Flatten(), layer), torch.rand(2, 1, 2, 2))
        for layer in (torch.nn.Softmax(1), torch.nn.Softmin(1))
    )
    assert network_identity(one) == network_identity(one)
    assert network_identity(one) != network_identity(other)


def test_a_callable_normalises_itself(images):
    with pytest.raises(InputError, match=r"leave mean and std out"):
        robench.evaluate(lambda x: x.mean((2, 3)), images, [0] * 24, eps=0.1, mean=0.5, std=0.5)
