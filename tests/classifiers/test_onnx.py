"""Networks in ONNX files: `--model onnx:FILE`."""

import pickle
import sys

import pytest
import torch
from torch import nn

from robench.classifiers.groups import Grouped, GroupSize
from robench.classifiers.sources import resolve
from robench.errors import InputError
from robench.specs import Input, NetworkSpec
from tests.support.programs import evaluated, quietly, refusal, robust_accuracy, same_logits, same_verdicts, trained

pytest.importorskip("onnx2torch", reason="the extra onnx is not installed")
X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def export(network, path, x=X, batch="n", opset=13):
    """Write a network; `batch` is None for exactly the images of x."""
    said = {"input_names": ["x"], "dynamic_axes": batch and {"x": {0: batch}}, "opset_version": opset, "dynamo": False}
    quietly(torch.onnx.export, network, (x,), path, **said)
    return f"onnx:{path}"


@pytest.mark.parametrize("batch", ["n", None])
@pytest.mark.parametrize("opset", [13, 17])
def test_logits_and_gradients_are_those_of_the_network(tmp_path, batch, opset):
    name = export(trained(), tmp_path / "net.onnx", batch=batch, opset=opset)
    same_logits(resolve(NetworkSpec(name)).network, trained(), atol=1e-4)


def test_a_network_of_every_usual_layer(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.SiLU(), nn.MaxPool2d(2), nn.Dropout(),
        nn.Conv2d(4, 4, 3), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(4), nn.Linear(4, 10),
    ).eval()  # fmt: skip
    found = resolve(NetworkSpec(export(network, tmp_path / "net.onnx", opset=17))).network
    same_logits(found, network, atol=1e-4)
    assert not any(module.training for module in found.modules())
    assert pickle.loads(pickle.dumps(found))(X).equal(found(X))


def test_verdicts_are_those_of_the_network(tmp_path, digits):
    same_verdicts(resolve(NetworkSpec(export(trained(), tmp_path / "net.onnx"))).network, trained(), digits)


def test_from_the_command_line(cli, tmp_path, digits):
    name = export(trained(), tmp_path / "net.onnx")
    row, said = evaluated(cli, tmp_path, name)
    assert row["model"].startswith("digits/net@")
    assert row["robust_accuracy"] == pytest.approx(robust_accuracy(trained(), digits))
    assert "converted from ONNX" in said.err
    assert "Images not normalised (of the file)." in said.out
    assert "stored" in evaluated(cli, tmp_path, name)[1].out


def test_the_features_are_found(cli, tmp_path):
    name = export(trained(), tmp_path / "net.onnx")
    said = cli("eval", "--model", name, "--dataset", "digits", "--attack", "feature-attack", "--limit", 5,
               "--results", tmp_path / "r")  # fmt: skip
    assert said.code == 0, said.err
    assert "feature-attack" in said.out


class OfFour(nn.Module):
    """A linear network that takes exactly four images."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Linear(64, 10)

    def forward(self, x):
        return self.last(x.reshape(4, 64))


def test_a_network_of_a_fixed_batch(tmp_path):
    network = OfFour().eval()
    found = resolve(NetworkSpec(export(network, tmp_path / "net.onnx", batch=None))).network
    assert isinstance(found, Grouped)
    assert found.size == GroupSize(4, 4)
    same_logits(found, lambda x: network.last(x.flatten(1)))


def test_normalisation_stands_before_the_network(tmp_path):
    given = Input(mean=[0.25], std=[0.5])
    found = resolve(NetworkSpec(export(trained(), tmp_path / "net.onnx"), input=given)).network
    assert torch.allclose(found(X), trained()((X - 0.25) / 0.5), atol=1e-4)


class Sum(nn.Module):
    def forward(self, x, y):
        return (x + y).flatten(1)


def test_networks_that_do_not_suit_are_refused(cli, tmp_path):
    colour = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 10)).eval()
    name = export(colour, tmp_path / "colour.onnx", torch.rand(4, 3, 8, 8))
    assert "cannot take torch.float32 images of shape (1, 8, 8)" in refusal(cli, tmp_path, name)
    unknown = export(nn.Sequential(nn.Flatten(), nn.GLU()), tmp_path / "glu.onnx", opset=18)
    assert "cannot be converted (Converter is not implemented" in refusal(cli, tmp_path, unknown)
    two = tmp_path / "two.onnx"
    quietly(torch.onnx.export, Sum().eval(), (X, X), two, dynamo=False)
    assert "takes 2 inputs, expected one" in refusal(cli, tmp_path, f"onnx:{two}")


FAULTS = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:500]),
    "empty": lambda path: path.write_bytes(b""),
    "page": lambda path: path.write_text("<!DOCTYPE html>"),
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_files_that_cannot_be_read_are_named(cli, tmp_path, fault):
    name = export(trained(), tmp_path / "net.onnx")
    FAULTS[fault](tmp_path / "net.onnx")
    assert "net.onnx" in refusal(cli, tmp_path, name)


@pytest.mark.parametrize(("option", "value"), [("--weights", "w.pt"), ("--key", "ema")])
def test_options_that_contradict_the_file(cli, tmp_path, option, value):
    name = export(trained(), tmp_path / "net.onnx")
    assert f"leave {option} out" in refusal(cli, tmp_path, name, option, value)


def test_a_card_cannot_hold_it(cli, tmp_path):
    name = export(trained(), tmp_path / "net.onnx")
    said = cli("card", "init", "--model", name, "--dataset", "digits", "--out", tmp_path / "cards")
    assert said.code == 2
    assert "is a program" in said.sentence


def test_without_the_extra_the_message_says_what_to_install(tmp_path, monkeypatch):
    name = export(trained(), tmp_path / "net.onnx")
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(InputError, match=r"needs onnx2torch: pip install 'robench\[onnx\]'\.$"):
        resolve(NetworkSpec(name))
