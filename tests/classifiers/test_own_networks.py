"""Anyone's network from the command line: `--model file.py:make_model --weights w.pt`."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import robench
from robench.classifiers.normalised import Normalised
from robench.classifiers.sources import resolve
from robench.classifiers.sources.checkpoint import read_weights
from robench.errors import InputError
from robench.specs import Input, NetworkSpec
from tests.support.programs import quietly
from tests.support.user_code import CODE


@pytest.fixture
def mine(tmp_path):
    """A file, weights that fit it in several formats, and the network."""
    (tmp_path / "beside.py").write_text("WIDTH = 16\n")
    (tmp_path / "net.py").write_text(CODE)
    torch.manual_seed(0)
    network = resolve(NetworkSpec(f"{tmp_path / 'net.py'}:make_model")).network
    return tmp_path, network


def name(folder, function="make_model"):
    return f"{folder / 'net.py'}:{function}"


FORMATS = {
    "bare.pt": torch.save,
    "parallel.pt": lambda state, path: torch.save({f"module.{key}": value for key, value in state.items()}, path),
    "wrapped.pth": lambda state, path: torch.save({"epoch": 3, "state_dict": state}, path),
    "plain.safetensors": save_file,
}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_saved_network_gives_the_same_logits(mine, kind):
    folder, network = mine
    FORMATS[kind](network.state_dict(), folder / kind)
    torch.manual_seed(1)  # other weights than those that were saved
    again = resolve(NetworkSpec(name(folder), folder / kind)).network
    x = torch.rand(5, 1, 8, 8)
    assert torch.allclose(again(x), network(x), atol=1e-6)
    assert not again.training


def test_normalisation_stands_inside(mine):
    folder, network = mine
    torch.save(network.state_dict(), folder / "w.pt")
    inside = resolve(NetworkSpec(name(folder), folder / "w.pt", Input(mean=[0.25], std=[0.5]))).network
    x = torch.rand(5, 1, 8, 8)
    assert isinstance(inside, Normalised)
    assert torch.allclose(inside(x), network((x - 0.25) / 0.5), atol=1e-6)


class Code:
    """What a pickle that carries code looks like to the reader."""

    def __reduce__(self):
        return print, ("ran",)


def page(path):
    path.write_text("<!DOCTYPE html><html>")


def cut(path):
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:300])


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: torch.save({"a": Code()}, path), "could run code"),
        (page, "an HTML page"),
        (cut, "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: torch.save([torch.zeros(1)], path), "no tensors by name"),
        (lambda path: torch.save({"epoch": 3}, path), "no tensors by name"),
        (lambda path: None, "no such file"),
    ],
    ids=["code", "page", "cut", "empty", "list", "no weights", "missing"],
)
def test_weights_that_cannot_be_read_are_named(tmp_path, capsys, write, words):
    write(tmp_path / "w.pt")
    with pytest.raises(InputError, match=words) as raised:
        read_weights(tmp_path / "w.pt")
    assert "\n" not in str(raised.value)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("function", "words"),
    [
        ("make_modell", "has no 'make_modell'"),
        ("NUMBER", "expected a torch.nn.Module"),
        ("makes_nothing", "gives a int"),
        ("fails", "RuntimeError: no such layer"),
    ],
)
def test_functions_that_make_no_network_are_named(mine, function, words):
    with pytest.raises(InputError, match=words):
        resolve(NetworkSpec(name(mine[0], function)))


def test_weights_that_do_not_fit_are_named(mine):
    folder, _ = mine
    torch.save({"1.weight": torch.zeros(3, 3), "head": torch.zeros(1)}, folder / "w.pt")
    with pytest.raises(InputError, match=r"3 missing .* 1 unexpected \(head\).* \(1.weight is 3x3, not 16x64\)"):
        resolve(NetworkSpec(name(folder), folder / "w.pt"))


@pytest.fixture
def data(mine, digits):
    folder, network = mine
    np.savez(folder / "scans.npz", x=digits.x[:20].numpy(), y=digits.y[:20].numpy())
    torch.save(network.state_dict(), folder / "w.pt")
    return folder


def test_from_the_command_line(cli, data):
    command = ("eval", "--model", name(data), "--weights", data / "w.pt", "--dataset", f"npz:{data / 'scans.npz'}",
               "--eps", "8/255", "--attack", "pgd-20", "--results", data / "r")  # fmt: skip
    said = cli(*command, "--json", data / "out.json")
    assert said.code == 0
    (row,) = json.loads((data / "out.json").read_text())["results"]
    assert row["model"].startswith("scans/net-make_model@")
    assert row["n"] == 20
    assert "stored" in cli(*command).out
    torch.manual_seed(5)
    torch.save(resolve(NetworkSpec(name(data))).network.state_dict(), data / "w.pt")
    assert "stored" not in cli(*command).out  # other weights are another network
    both = cli(*command, "--battery", "spatial", "--model", name(data))
    assert both.code == 0
    assert "rotation_translation" in both.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "add --dataset"),
        (("--dataset", "digits", "--mean", "a", "--std", "1"), "numbers with commas"),
        (("--dataset", "digits", "--mean", "0.5"), "belong together"),
        (("--dataset", "digits", "--mean", "0.5", "--std", "1,1"), "the same number"),
        (("--dataset", "digits", "--mean", "125", "--std", "63"), "divide --mean and --std by 255"),
        (("--dataset", "digits", "--mean", "0.5", "--std", "0"), "above 0"),
        (("--dataset", "digits", "--weights", "nowhere.pt"), "no such file"),
    ],
)
def test_what_is_off_is_one_sentence(cli, data, options, words):
    said = cli("eval", "--model", name(data), *options, "--attack", "fgsm", "--results", data / "r")
    assert (said.code, said.out) == (2, "")
    assert words in said.sentence


def test_a_card_says_head_and_normalisation(cli):
    said = cli("eval", "--model", "pgdat", "--mean", "0.5", "--std", "0.5")
    assert said.code == 2
    assert "a card, which declares everything" in said.sentence


def test_a_file_that_is_not_there_is_named(cli):
    said = cli("eval", "--model", "nowhere.py:make", "--dataset", "digits")
    assert said.code == 2
    assert "there is no file 'nowhere.py'" in said.sentence


def test_a_file_that_ends_the_program_is_an_error(cli, tmp_path):
    (tmp_path / "net.py").write_text("import sys\nsys.exit('no GPU here')\n")
    said = cli("eval", "--model", f"{tmp_path / 'net.py'}:make_model", "--dataset", "digits")
    assert said.code == 2
    assert "ends the program (SystemExit: no GPU here)" in said.sentence


HELPED = """from __future__ import annotations
from dataclasses import dataclass
from torch import nn
from layers import SIGN

@dataclass
class Size:
    n: int

class Net(nn.Module):
    def forward(self, x):
        return SIGN * x.flatten(1)
"""


def test_every_file_has_its_own_helpers(tmp_path):
    for folder, sign in (("a", 1.0), ("b", -1.0)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "layers.py").write_text(f"SIGN = {sign}\n")
        (tmp_path / folder / "net.py").write_text(HELPED)
    one, other = (resolve(NetworkSpec(f"{tmp_path / folder / 'net.py'}:Net")).network for folder in "ab")
    x = torch.rand(2, 1, 3, 3)
    assert torch.equal(one(x), -other(x))


def test_code_that_changed_is_another_network(cli, data):
    command = ("eval", "--model", name(data), "--weights", data / "w.pt", "--dataset", f"npz:{data / 'scans.npz'}",
               "--eps", "8/255", "--attack", "fgsm", "--results", data / "r")  # fmt: skip
    assert cli(*command).code == 0
    assert "stored" in cli(*command).out
    (data / "beside.py").write_text("WIDTH = 2 * 8\n")
    assert "stored" not in cli(*command).out


def test_a_network_instead_of_a_function(tmp_path):
    (tmp_path / "net.py").write_text(
        "from torch import nn\nready = nn.Flatten()\ndef needs(width):\n    return ready\n"
    )
    assert isinstance(resolve(NetworkSpec(f"{tmp_path / 'net.py'}:ready")).network, torch.nn.Flatten)
    with pytest.raises(InputError, match=r"takes arguments \(width\)"):
        resolve(NetworkSpec(f"{tmp_path / 'net.py'}:needs"))


def test_traced_networks_are_evaluated(digits):
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    traced = quietly(torch.jit.trace, network, torch.zeros(1, 1, 8, 8))
    few = digits.limit(10)
    report = robench.evaluate(traced, few.x, few.y, eps=0.1, attacks=["pgd-20"], device="cpu")
    assert len(report.results) == 1
