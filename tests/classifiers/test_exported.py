"""Programs of torch.export: `--model FILE.pt2`."""

import pickle
import zipfile

import pytest
import torch
from torch import nn

from robench.classifiers.groups import GroupSize, in_groups
from robench.classifiers.sources import resolve
from robench.errors import InputError
from robench.specs import Input, NetworkSpec
from tests.support.marks import slow
from tests.support.programs import evaluated, quietly, refusal, robust_accuracy, same_logits, same_verdicts, trained

X = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
BATCH = torch.export.Dim("batch")


def export(network, path, batch=BATCH, x=X):
    """Export a network; `batch` is None for exactly the four images of X."""
    shapes = None if batch is None else ({0: batch},)
    quietly(torch.export.save, quietly(torch.export.export, network, (x,), dynamic_shapes=shapes), path)
    return str(path)


BATCHES = {
    "any": (BATCH, None),
    "four": (None, GroupSize(4, 4)),
    "at most six": (torch.export.Dim("few", max=6), GroupSize(1, 6)),
    "three to five": (torch.export.Dim("some", min=3, max=5), GroupSize(3, 5)),
}


@pytest.mark.parametrize("batch", ["any", *map(slow, ("three to five", "four", "at most six"))])
def test_logits_gradients_and_verdicts_are_those_of_the_network(tmp_path, digits, batch):
    dim, size = BATCHES[batch]
    network = resolve(NetworkSpec(export(trained(), tmp_path / "net.pt2", dim))).network
    assert network.parsed.size == size
    same_logits(network, trained())
    same_verdicts(network, trained(), digits)


def test_from_the_command_line(cli, tmp_path, digits):
    path = export(trained(), tmp_path / "net.pt2")
    row, said = evaluated(cli, tmp_path, path)
    assert row["model"].startswith("digits/net@")
    assert row["robust_accuracy"] == pytest.approx(robust_accuracy(trained(), digits))
    assert "Images not normalised (of the file)." in said.out
    assert "stored" in evaluated(cli, tmp_path, path)[1].out
    export(nn.Sequential(trained(), nn.Tanh()), path)  # the same weights, another program
    row, said = evaluated(cli, tmp_path, path)
    assert "stored" not in said.out


def test_normalisation_stands_before_the_program(tmp_path):
    given = Input(mean=[0.25], std=[0.5])
    loaded = resolve(NetworkSpec(export(trained(), tmp_path / "net.pt2"), input=given))
    assert torch.allclose(loaded.network(X), trained()((X - 0.25) / 0.5), atol=1e-5)
    assert loaded.normalisation.source == "as said"


def test_a_program_is_never_in_training_mode(tmp_path):
    network = resolve(NetworkSpec(export(trained(), tmp_path / "net.pt2"))).network
    network.train()
    assert not any(module.training for module in network.modules())
    assert network.eval() is network


def test_a_program_travels_to_other_processes(tmp_path):
    network = resolve(NetworkSpec(export(trained(), tmp_path / "net.pt2", None))).network
    (tmp_path / "net.pt2").unlink()
    assert pickle.loads(pickle.dumps(network))(X).equal(network(X))


class OnADevice(nn.Module):
    """A linear network that makes a tensor on a device of its own choice."""

    def __init__(self):
        super().__init__()
        self.last = nn.Linear(64, 10)

    def forward(self, x):
        return self.last(x.flatten(1)) + torch.arange(10, device=x.device)


def test_devices_inside_a_program_move_with_it(tmp_path):
    network = resolve(NetworkSpec(export(OnADevice().eval(), tmp_path / "net.pt2"))).network
    there = network.to("meta")(X.to("meta"))
    assert there.device.type == "meta"


class NoGradient(nn.Module):
    def __init__(self):
        super().__init__()
        self.network = trained()

    @torch.no_grad()
    def forward(self, x):
        return self.network(x)


class Two(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :10], x.flatten(1)


def test_networks_that_do_not_suit_are_refused(cli, tmp_path):
    assert "gives no gradient" in refusal(cli, tmp_path, export(NoGradient().eval(), tmp_path / "none.pt2"))
    big = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 10)).eval()
    colour = export(big, tmp_path / "colour.pt2", x=torch.rand(4, 3, 8, 8))
    assert "cannot take torch.float32 images of shape (1, 8, 8)" in refusal(cli, tmp_path, colour)
    double = export(
        nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double().eval(), tmp_path / "double.pt2", x=X.double()
    )
    assert "float32 weights" in refusal(cli, tmp_path, double)
    assert "several values that may be the logits" in refusal(cli, tmp_path, export(Two().eval(), tmp_path / "two.pt2"))


@pytest.mark.parametrize("layer", [nn.BatchNorm2d(1), nn.Dropout()])
def test_programs_exported_in_training_mode_are_refused(tmp_path, layer):
    network = nn.Sequential(layer, nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(InputError, match=r"net.pt2 was exported in training mode: call model.eval\(\) before"):
        resolve(NetworkSpec(export(network.train(), tmp_path / "net.pt2")))
    assert resolve(NetworkSpec(export(network.eval(), tmp_path / "net.pt2")))


def test_batch_norm_without_running_means_is_no_training(tmp_path):
    network = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), nn.Flatten(), nn.Linear(64, 10)).eval()
    assert resolve(NetworkSpec(export(network, tmp_path / "net.pt2"))).network(X).allclose(network(X), atol=1e-6)


def test_several_inputs_are_refused(tmp_path):
    program = torch.export.export(nn.Bilinear(4, 4, 2).eval(), (torch.rand(3, 4), torch.rand(3, 4)))
    quietly(torch.export.save, program, tmp_path / "net.pt2")
    with pytest.raises(InputError, match="takes 2 inputs, expected one"):
        resolve(NetworkSpec(str(tmp_path / "net.pt2")))


def cut(path):
    path.write_bytes(path.read_bytes()[:-2000])


def page(path):
    path.write_text("<!DOCTYPE html>")


def of_weights(path):
    torch.save(trained().state_dict(), path)


def without_sizes(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/archive_format", "pt2")


FAULTS = {
    "cut": (cut, "cannot be read"),
    "empty": (lambda path: path.write_bytes(b""), "cannot be read"),
    "page": (page, "cannot be read"),
    "weights": (of_weights, "is no archive of torch.export.save"),
    "hollow": (without_sizes, "cannot be read"),
    "missing": (lambda path: path.unlink(), "there is no file"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_files_that_cannot_be_read_are_named(cli, tmp_path, fault):
    break_it, words = FAULTS[fault]
    path = tmp_path / "net.pt2"
    export(trained(), path)
    break_it(path)
    said = refusal(cli, tmp_path, path)
    assert words in said
    assert "net.pt2" in said


class Code:
    def __reduce__(self):
        return print, ("ran",)


def add_pickle(path):
    """Replace the example inputs by a pickle that runs code, as torch would load it."""
    torch.save(Code(), path.parent / "code.pt")
    code = (path.parent / "code.pt").read_bytes()
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, code if name.endswith("sample_inputs/model.pt") else content)


def change_config(path):
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content.replace(b'"use_pickle": false', b'"use_pickle": true', 1))


def add_library(path):
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("net/data/aotinductor/model/net.so", b"")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (add_pickle, "cannot be read"),
        (change_config, "holds a pickled object, which could run code"),
        (add_library, "holds a compiled library, which could run code"),
    ],
)
def test_code_in_the_file_never_runs(tmp_path, capsys, change, words):
    path = export(trained(), tmp_path / "net.pt2")
    change(tmp_path / "net.pt2")
    with pytest.raises(InputError, match=words) as raised:
        resolve(NetworkSpec(path))
    assert "\n" not in str(raised.value)
    assert "ran" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--weights", "w.pt"), "leave --weights out"),
        (("--key", "ema"), "leave --key out"),
        (("--head", "linear"), "brings its own head"),
        (("--variant", "silu"), "has none"),
        (("--feature-layer", "layer9"), "leave --feature-layer out"),
    ],
)
def test_options_that_contradict_a_program(cli, tmp_path, options, words):
    assert words in refusal(cli, tmp_path, export(trained(), tmp_path / "net.pt2"), *options)


def test_a_card_cannot_hold_a_program(cli, tmp_path):
    path = export(trained(), tmp_path / "net.pt2")
    said = cli("card", "init", "--model", path, "--dataset", "digits", "--out", tmp_path / "cards")
    assert said.code == 2
    assert "is a program" in said.sentence
    assert not (tmp_path / "cards" / "digits" / "net").exists()


def test_groups_show_the_network_only_sizes_that_it_takes():
    seen = []

    def network(x):
        seen.append(len(x))
        return x.flatten(1)

    x = torch.rand(11, 1, 2, 2, requires_grad=True)
    assert in_groups(network, x, GroupSize(3, 4)).equal(x.flatten(1))
    assert seen == [4, 4, 3]
    seen.clear()
    assert in_groups(network, x[:9], GroupSize(3, 4)).equal(x[:9].flatten(1))
    assert seen == [4, 4, 3]
    in_groups(network, x[:9], GroupSize(3, 4)).sum().backward()
    assert x.grad[:9].eq(1).all()  # the copies that fill a group add nothing
    with pytest.raises(InputError, match="returns shape"):
        in_groups(lambda x: x[:1].flatten(1), x, GroupSize(3, 4))
