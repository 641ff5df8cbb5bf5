"""`robench report robustness --against robustbench`: its numbers beside ours, and when they differ."""

import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import numpy as np
import pytest
import torch

import robench
from robench.report import Selection, load
from robench.report.robustbench import beside
from robench.report.robustness import robustness
from robench.specs import ThreatModel, battery_attacks
from robench.specs import robustbench as described
from robench.store import Record
from tests.support import robustbench

TINY = "cifar10/Linf/Tiny2020_R-1"
WORST, CLEAN = ("worst case (RobustBench)", "worst case (difference)"), ("clean (RobustBench)", "clean (difference)")


@pytest.fixture
def fake(tmp_path, monkeypatch):
    robustbench.install(tmp_path, monkeypatch)
    yield tmp_path
    robustbench.forget()


@pytest.fixture
def results(cli, fake):
    """A folder of records of one network of RobustBench, on images that are not those of RobustBench."""
    robustbench.lay(TINY, fake / "cache")
    x = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    np.savez(fake / "images.npz", x=x.numpy(), y=np.arange(8))
    said = cli("eval", "--model", "robustbench:Tiny2020_R-1", "--dataset", f"npz:{fake / 'images.npz'}",
               "--attack", "fgsm", "--results", fake / "results")  # fmt: skip
    assert said.code == 0, said.err
    return fake / "results"


def shown(record, attacks=("cascade",), dataset="cifar10", threat=("linf", "8/255"), code=f"robustbench 9.8 {TINY}"):
    """Return row and notes of records like one that was made, with 3 of 8 clean and 2 of 8 robust."""
    clean, robust = (np.arange(8) < n for n in (3, 2))
    records = []
    for name in attacks:
        change = {
            "attack": record.header.attack.model_copy(update={"name": name}), "dataset": dataset,
            "threat": ThreatModel.parse(*threat), "identity": {**record.header.identity, "model": {"code": code}},
        }  # fmt: skip
        records.append(Record(record.header.model_copy(update=change), clean, robust, np.where(robust, -1, clean * 1)))
    selection = Selection({"net": records}, 0)
    table = beside(robustness(selection), selection)
    assert table.columns[:3] == ["worst case", *WORST]
    return table.rows["net"], table.notes[-1]


def test_differences_where_everything_agrees(results):
    (record,) = load(results)
    row, note = shown(record)
    assert [row[each] for each in (*WORST, *CLEAN)] == ["43.21", "-18.21", "83.34", "-45.84"]
    assert note.startswith("RobustBench 9.8: robust accuracy under AutoAttack")


@pytest.mark.parametrize("battery", ["autoattack", "autoattack-native", "fast"])
def test_attacks_as_strong_as_autoattack_suffice(results, battery):
    (record,) = load(results)
    assert WORST[1] in shown(record, [spec.name for spec in battery_attacks(battery)])[0]


@pytest.mark.parametrize(
    ("other", "differences", "reason"),
    [
        ({"dataset": "cifar10-jpeg"}, set(), "RobustBench's numbers are on cifar10, not cifar10-jpeg"),
        ({"threat": ("l2", "0.5")}, {CLEAN[1]}, "RobustBench's robust accuracy is under linf 8/255, not l2 0.5"),
        ({"threat": ("linf", "4/255")}, {CLEAN[1]}, "under linf 8/255, not linf 4/255"),
        ({"threat": ("linf", "0.031")}, {CLEAN[1]}, "under linf 8/255, not linf 0.031"),
        ({"attacks": ("pgd-20", "apgd-ce", "square")}, {CLEAN[1]}, "no attacks as strong as AutoAttack were run"),
        ({"code": "robustbench 9.8 imagenet/Linf/Large Crop288", "dataset": "imagenet"}, set(), "prepared by Crop288"),
        ({"code": "robustbench 9.8 imagenet/Linf/Usual Res256Crop224", "dataset": "imagenet",
          "threat": ("linf", "4/255")}, {CLEAN[1], WORST[1]}, ""),
        ({"code": "robustbench 9.8 cifar10/corruptions/Foggy"}, {CLEAN[1]}, "publishes no worst case"),
        ({"code": "robustbench 1.0 cifar10/Linf/Gone"}, set(), "the installed RobustBench does not list it"),
    ],
)  # fmt: skip
def test_a_difference_is_left_out_where_it_would_be_none(results, other, differences, reason):
    (record,) = load(results)
    row, note = shown(record, **other)
    assert {column for column in row if column.endswith("(difference)")} == differences
    assert reason in note
    assert ("so a difference is left out" in note) == bool(reason)
    assert ("Foggy" in other.get("code", "")) <= (WORST[0] not in row)


def test_from_the_command_line(cli, results):
    said = cli("report", "--against", "robustbench", "--format", "csv", "--results", results)
    assert said.code == 0, said.err
    head, row = said.out.splitlines()
    assert head.startswith("defense,worst case,worst case low,worst case high,worst case (RobustBench)")
    assert row.startswith("images/Tiny2020_R-1@")
    assert ",43.21,," in row
    for model in ("robustbench:Tiny2020_R-1", f"robustbench:{TINY}"):
        one = cli("report", "robustness", "--model", model, "--against", "robustbench", "--format", "csv",
                  "--results", results)  # fmt: skip
        assert one.out == said.out
    plain = cli("report", "robustness", "--model", "robustbench:Tiny2020_R-1", "--results", results, "--format", "csv")
    assert "RobustBench" not in plain.out
    assert plain.out.splitlines()[1].startswith("images/Tiny2020_R-1@")
    assert str(robench.table("robustness", against="robustbench", results=results)).count("43.21") == 1


def test_refusals(cli, results):
    def refused(*arguments):
        said = cli("report", *arguments, "--results", results)
        return said.code, said.sentence

    assert refused("robustness", "queries", "--against", "robustbench") == (
        2, "robench: --against robustbench is for the table robustness: name it alone.\n"
    )  # fmt: skip
    code, sentence = refused("robustness", "--model", "robustbench:Both", "--against", "robustbench")
    assert (code, "say which" in sentence) == (2, True)
    code, sentence = refused("robustness", "--model", "robustbench:Round", "--against", "robustbench")
    assert code == 3
    assert "no records of robustbench:Round to show: run `robench eval --model robustbench:Round`" in sentence
    code, sentence = refused("robustness", "--against", "robustbench", "--battery", "fast")
    assert code == 3
    assert "no stored record fits --battery fast: there is fgsm" in sentence


def test_without_robustbench_the_message_says_what_to_install(cli, monkeypatch, tmp_path):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(described, "metadata", absent)
    said = cli("report", "robustness", "--against", "robustbench", "--results", tmp_path)
    assert (said.code, said.sentence) == (
        2, "robench: RobustBench is not installed: pip install 'robench[robustbench]'.\n"
    )  # fmt: skip


def test_neither_torch_nor_robustbench_is_imported(results, fake):
    code = (
        f"import sys; sys.path.insert(0, {str(fake)!r}); import robench; "
        f"robench.table('robustness', against='robustbench', results={str(results)!r}); "
        "print(sorted({'torch', 'robustbench'} & sys.modules.keys()))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (said.stdout, said.stderr) == ("[]\n", "")
