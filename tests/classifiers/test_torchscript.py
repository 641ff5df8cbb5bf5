"""TorchScript programs, scripted and traced: `--model FILE.pt`."""

import pickle

import pytest
import torch
from torch import nn

from robench.classifiers.groups import GroupSize
from robench.classifiers.sources import resolve
from robench.classifiers.sources.torchscript import is_torchscript
from robench.errors import InputError
from robench.specs import Input, NetworkSpec
from tests.support.programs import evaluated, quietly, refusal, robust_accuracy, same_logits, same_verdicts, trained

X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def small(*layers):
    torch.manual_seed(0)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 10))


def traced(network, path, x=X):
    quietly(torch.jit.save, quietly(torch.jit.trace, network, x, check_trace=False), path)
    return str(path)


def scripted(network, path):
    quietly(torch.jit.save, quietly(torch.jit.script, network), path)
    return str(path)


def frozen(network, path):
    """Weights that have become constants of the program."""
    quietly(torch.jit.save, quietly(torch.jit.freeze, quietly(torch.jit.script, network)), path)
    return str(path)


def test_logits_gradients_and_verdicts_are_those_of_the_network(tmp_path, digits):
    network = resolve(NetworkSpec(traced(trained(), tmp_path / "net.pt"))).network
    same_logits(network, trained())
    same_verdicts(network, trained(), digits)


@pytest.mark.parametrize("write", [traced, scripted, frozen])
@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_every_way_of_writing_a_program(tmp_path, write, suffix):
    network = small(nn.BatchNorm2d(1), nn.Dropout()).eval()
    found = resolve(NetworkSpec(write(network, tmp_path / f"net{suffix}"))).network
    same_logits(found, network)
    assert not any(module.training for module in found.modules())
    assert pickle.loads(pickle.dumps(found))(X).equal(found(X))


def test_a_scripted_network_in_training_mode_is_switched(tmp_path):
    network = small(nn.BatchNorm2d(1), nn.Dropout()).train()
    found = resolve(NetworkSpec(scripted(network, tmp_path / "net.pt"))).network
    same_logits(found, network.eval())


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(1), nn.Dropout()])
def test_a_network_traced_in_training_mode_is_refused(tmp_path, layer):
    with pytest.raises(InputError, match=r"net.pt was traced in training mode: call model.eval\(\) before"):
        resolve(NetworkSpec(traced(small(layer).train(), tmp_path / "net.pt")))
    assert resolve(NetworkSpec(traced(small(layer).eval(), tmp_path / "net.pt")))


def test_batch_norm_without_running_means_is_no_training(tmp_path):
    network = small(nn.BatchNorm2d(1, track_running_stats=False)).eval()
    assert resolve(NetworkSpec(traced(network, tmp_path / "net.pt"))).network(X).allclose(network(X), atol=1e-6)


class OfFour(nn.Module):
    """A linear network that takes exactly four images."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Linear(64, 10)

    def forward(self, x):
        return self.last(x.view(4, 64))


def test_a_traced_network_of_a_fixed_batch(tmp_path):
    network = OfFour().eval()
    found = resolve(NetworkSpec(traced(network, tmp_path / "net.pt"))).network
    assert found.parsed.size == GroupSize(4, 4)
    same_logits(found, lambda x: network.last(x.flatten(1)))


@pytest.mark.slow
def test_from_the_command_line(cli, tmp_path, digits):
    path = traced(trained(), tmp_path / "net.pt")
    row, said = evaluated(cli, tmp_path, path)
    assert row["model"].startswith("digits/net@")
    assert row["robust_accuracy"] == pytest.approx(robust_accuracy(trained(), digits))
    assert "Images not normalised (of the file)." in said.out
    assert "Warning" not in said.err
    assert "stored" in evaluated(cli, tmp_path, path)[1].out


def test_normalisation_stands_before_the_program(tmp_path):
    network, given = small().eval(), Input(mean=[0.25], std=[0.5])
    found = resolve(NetworkSpec(traced(network, tmp_path / "net.pt"), input=given)).network
    assert torch.allclose(found(X), network((X - 0.25) / 0.5), atol=1e-5)


def test_networks_that_do_not_suit_are_refused(cli, tmp_path):
    said = refusal(cli, tmp_path, scripted(OfFour().eval(), tmp_path / "four.pt"))
    assert "cannot take torch.float32 images of shape (1, 8, 8) (RuntimeError: shape '[4, 64]' is invalid" in said
    colour = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 10)).eval()
    assert "cannot take" in refusal(cli, tmp_path, traced(colour, tmp_path / "colour.pt", torch.rand(4, 3, 8, 8)))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--weights", "w.pt"), "leave --weights out"),
        (("--key", "ema"), "leave --key out"),
        (("--head", "linear"), "leave --head out"),
        (("--variant", "silu"), "leave --variant out"),
        (("--feature-layer", "last"), "leave --feature-layer out"),
    ],
)
def test_options_that_contradict_a_program(cli, tmp_path, options, words):
    assert words in refusal(cli, tmp_path, traced(OfFour().eval(), tmp_path / "net.pt"), *options)


def test_a_damaged_program_is_named(cli, tmp_path):
    path = tmp_path / "net.pt"
    traced(trained(), path)
    path.write_bytes(path.read_bytes()[:2000])
    assert "cannot be read" in refusal(cli, tmp_path, path)
    assert not is_torchscript(path)
    torch.save(trained().state_dict(), path)
    assert not is_torchscript(path)


def test_as_weights_of_a_card_a_program_is_refused(cli, tmp_path):
    path = traced(trained(), tmp_path / "net.pt")
    said = cli("eval", "--model", "pgdat", "--weights", path, "--attack", "fgsm", "--results", tmp_path / "r")
    assert said.code == 2
    assert "are TorchScript, a program: name it as --model" in said.sentence
