"""`robench eval --backward`: a function beside the network, from the command to records, `verify` and `report`."""

import json

import pytest

CODE = """
import torch
import robench
from torch import nn


class Rounded(nn.Module):
    def __init__(self):
        super().__init__()
        self.network, self.levels = robench.load_model("digits/standard"), 15

    def forward(self, x):
        return self.network(self.part(x))

    def part(self, x):
        return torch.round(x * self.levels) / self.levels


def make_model():
    return Rounded().eval()


def through(network):
    assert isinstance(network, Rounded)
    network.part = robench.straight_through(network.part)
    return network


def other(network):
    network.levels = 3
    return network


NUMBER = 3
"""


@pytest.fixture
def command(tmp_path):
    (tmp_path / "net.py").write_text(CODE)
    model = f"{tmp_path / 'net.py'}:make_model"
    return (
        "eval", "--model", model, "--dataset", "digits", "--attack", "pgd-20", "--limit", 20, "--eps", 0.2,
        "--results", tmp_path / "r",
    )  # fmt: skip


def test_from_the_command_to_verify_and_report(cli, command, tmp_path):
    said = cli(*command)
    assert "give it one: --backward rounding, jpeg, thermometer, argmax or file.py" in " ".join(said.out.split())
    given = (*command, "--backward", f"{tmp_path / 'net.py'}:through", "--save-adversarial")
    said = cli(*given, "--json", "-")
    (row,) = json.loads(said.out)["results"]
    assert row["attack"] == "pgd-20-through-through"
    assert row["robust_accuracy"] < 2
    assert row["trust"]["level"] == "trusted"
    assert json.loads(cli(*given, "--json", "-").out)["results"][0]["forwards"] == 0
    (tmp_path / "net.py").write_text(CODE.replace("levels = 3", "levels = 4"))
    assert "compute" in cli(*given, "--dry-run").out
    (tmp_path / "net.py").write_text(CODE)
    assert cli("verify", "--results", tmp_path / "r").code == 0
    assert "pgd-20-through-through" in cli("report", "--results", tmp_path / "r").out


REFUSED = {
    "rounding --battery corruptions": "--backward is for attacks",
    "thermometr": "unknown gradient 'thermometr': did you mean thermometer?",
    "{net}": "is a file: say which function gives the gradient",
    "{net}:absent": "has no 'absent': name a function that takes the network",
    "{net}:NUMBER": "is a int: name a function that takes the network",
    "{net}:make_model": "takes nothing, not the network alone",
    "{net}:other": "changes the network's answers on",
    "rounding --search compiled": "leave --search compiled out",
}


@pytest.mark.parametrize("words", REFUSED)
def test_a_bad_gradient_ends_with_exit_code_2(words, cli, command, tmp_path):
    said = cli(*command, "--backward", *words.format(net=tmp_path / "net.py").split())
    assert said.code == 2
    assert REFUSED[words] in said.last
