"""Files of weights: what does not fit, what stands beside the weights, what is no file of weights."""

from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from robench.classifiers.sources import resolve
from robench.classifiers.sources.checkpoint import read_weights
from robench.errors import InputError
from robench.specs import Head, Input, NetworkSpec
from robench.store import read
from tests.support import foreign
from tests.support.checkpoints import X, loaded, same
from tests.support.records import raw_record

HE = Head(kind="he", scale=15.0, margin=0.2)


def drop(*keys):
    return lambda state: {key: value for key, value in state.items() if key not in keys}


FOREIGN: dict[str, Any] = {
    "a key is missing": (
        foreign.wide_resnet, drop("block2.layer.0.conv2.weight"), "1 missing (block2.layer.0.conv2.weight)"
    ),
    "a key too many": (
        foreign.resnet18, lambda state: state | {"extra.weight": torch.zeros(2)}, "1 unexpected (extra.weight)"
    ),
    "another shape": (
        foreign.resnet18,
        lambda state: state | {"layer1.0.conv1.weight": torch.zeros(3, 3)},
        "1 of another shape (layer1.0.conv1.weight is 3x3, not 64x64x3x3)",
    ),
    "a depth of its own": (
        lambda: torchvision.models.resnet18().state_dict(), drop("layer4.1.bn1.bias"),
        "no ResNet of this depth and width",
    ),
    "a deeper ResNet": (
        foreign.resnet18,
        lambda state: state | {"layer4.2.conv1.weight": state["layer4.1.conv1.weight"]},
        "1 unexpected (layer4.2.conv1.weight)",
    ),
    "no known network": (
        lambda: timm.create_model("vit_tiny_patch16_224").state_dict(), dict,
        "(152 tensors: cls_token 1x1x192, pos_embed",
    ),
    "nearly a known one": (
        foreign.resnet18, drop("linear.weight", "linear.bias"),
        "nearest is resnet18, 120 of whose 122 names are there (not linear.bias, linear.weight)",
    ),
    "robench's own": (
        dict, lambda state: {"backbone.conv1.weight": torch.zeros(3, 3, 3, 3), "head.weight": torch.zeros(2, 3)},
        "evaluate the card beside them",
    ),
    }  # fmt: skip


@pytest.mark.parametrize("what", FOREIGN)
def test_what_does_not_fit_is_named(cli, tmp_path, what):
    make, change, words = FOREIGN[what]
    torch.save(change(make()), tmp_path / "w.pt")
    said = cli(
        "eval", "--model", tmp_path / "w.pt", "--dataset", "digits", "--mean", "none", "--results", tmp_path / "r"
    )
    assert (said.code, said.out) == (2, "")
    assert words in said.sentence
    assert str(tmp_path / "w.pt") in said.sentence


SAID = {
    "he needs its scale": (("--head", "he"), "--scale 15"),
    "no such head": (("--head", "cosine"), "'linear', 'he'"),
    "a scale without a head": (("--scale", "15"), "add --head he"),
    "a scale that is none": (("--head", "he", "--scale", "-1"), "greater than 0"),
    "weights twice": (("--weights", "other.pt"), "leave --weights out"),
    "no data": ((), "does not say its data"),
}


@pytest.mark.parametrize("what", SAID)
def test_contradictions_are_one_sentence(cli, tmp_path, what):
    options, words = SAID[what]
    torch.save(foreign.wide_resnet(), tmp_path / "w.pt")
    data = () if what == "no data" else ("--dataset", "digits")
    said = cli("eval", "--model", tmp_path / "w.pt", "--mean", "none", *data, *options, "--results", tmp_path / "r")
    assert (said.code, said.out) == (2, "")
    assert words in said.sentence


def test_libraries_say_what_they_lack(cli, tmp_path):
    said = cli("eval", "--model", "timm:resnet18000", "--dataset", "digits", "--results", tmp_path / "r")
    assert said.code == 2
    assert "timm cannot make 'resnet18000'" in said.sentence
    said = cli("eval", "--model", "torchvision:resnet51", "--dataset", "digits", "--results", tmp_path / "r")
    assert said.code == 2
    assert "unknown classifier of torchvision 'resnet51': did you mean resnet50" in said.sentence


def test_numbers_beside_the_weights_are_read(tmp_path):
    beside = {"acc": np.float32(0.5), "epoch": np.int64(3), "best": np.bool_(True)}
    torch.save({**beside, "state_dict": {"a": torch.ones(2)}}, tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt")["a"].tolist() == [1, 1]


@pytest.mark.parametrize("prefix", ["model.", "net.", "network.module.", "backbone_of_mine."])
def test_what_stands_before_every_key_is_left_out(tmp_path, prefix):
    state = foreign.wide_resnet()
    whole = {"state_dict": {prefix + key: value for key, value in state.items()}, "hyper_parameters": {"lr": 0.1}}
    assert same(loaded(whole, tmp_path / "w.ckpt"), foreign.wide_resnet_logits(state, X))
    theirs = timm.create_model("resnet18").eval()
    save_file({prefix + key: value for key, value in theirs.state_dict().items()}, tmp_path / "w.safetensors")
    with torch.no_grad():
        x = torch.zeros(1, 3, 32, 32)
        given = Input(mean=[0.0], std=[1.0])
        assert resolve(NetworkSpec("timm:resnet18", tmp_path / "w.safetensors", given)).network(x).equal(theirs(x))


def test_the_only_weights_in_a_file_are_found(tmp_path):
    torch.save({"epoch": 3, "mine": {"a": torch.ones(2)}, "optimizer": {"lr": 0.1}}, tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt").keys() == {"a"}


NO_WEIGHTS = {
    "a Git LFS pointer": (lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"), "Git LFS"),
    "Python": (lambda path: path.write_text("import torch\n"), "not from torch.save"),
    "arrays": (lambda path: torch.save({"a": np.ones(2)}, path), "hold no tensors by name, only a, but a numpy"),
    "a whole network": (
        lambda path: torch.save(torch.nn.Linear(2, 2), path),
        "no tensors by name, but a torch.nn.modules.linear.Linear, which could run code",
    ),
    "shapes": (
        lambda path: torch.save(foreign.wide_resnet() | {"fc.weight": torch.zeros(10, 3)}, path),
        "1 of another shape (fc.weight is 10x3, not 10x128)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", NO_WEIGHTS)
def test_what_is_no_file_of_weights_is_said(cli, tmp_path, what):
    write, words = NO_WEIGHTS[what]
    write(tmp_path / "w.pt")
    said = cli(
        "eval", "--model", tmp_path / "w.pt", "--dataset", "digits", "--mean", "none", "--results", tmp_path / "r"
    )
    assert said.code == 2
    assert words in said.sentence


def test_a_card_and_its_weights_agree_on_normalisation(tmp_path):
    bring = {"mu": torch.full((1, 3, 1, 1), 0.5), "sigma": torch.full((1, 3, 1, 1), 0.25)}
    torch.save(bring | foreign.wide_resnet(), tmp_path / "w.pt")
    card = 'dataset = "cifar10"\nabout = "mine"\narchitecture = { name = "wide_resnet", args = { depth = 10, '
    (tmp_path / "card.toml").write_text(card + "widen_factor = 2 } }\n")
    with pytest.raises(InputError, match="bring a normalisation"):
        resolve(NetworkSpec(str(tmp_path / "card.toml"), tmp_path / "w.pt"))
    said = "widen_factor = 2 } }\ninput = { mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] }\n"
    (tmp_path / "card.toml").write_text(card + said)
    network = resolve(NetworkSpec(str(tmp_path / "card.toml"), tmp_path / "w.pt")).network
    assert same(network, foreign.wide_resnet_logits(foreign.wide_resnet(), (X - 0.5) / 0.25))


def test_grey_images_never_become_coloured(tmp_path):
    network = loaded(foreign.wide_resnet(), tmp_path / "w.pt", input=Input(mean=[0.5] * 3, std=[0.2] * 3))
    with pytest.raises(ValueError, match="1 channels, normalised by 3 values"):
        network(torch.rand(2, 1, 32, 32))


def test_torchvision_without_counters(tmp_path):
    theirs = torchvision.models.resnet18().eval()
    state = {key: value for key, value in theirs.state_dict().items() if not key.endswith("num_batches_tracked")}
    x = torch.rand(1, 3, 64, 64)
    assert same(loaded(state, tmp_path / "w.pth", variant="plain"), theirs(x), x)


def test_safetensors_under_any_name(tmp_path):
    state = foreign.wide_resnet()
    assert same(loaded(state, tmp_path / "pytorch_model.bin", save_file), foreign.wide_resnet_logits(state, X))


def test_two_prefixes_and_two_wrappings(tmp_path):
    state = foreign.wide_resnet()
    whole = {"model": {"state_dict": {f"_orig_mod.module.{key}": value for key, value in state.items()}}}
    assert same(loaded(whole, tmp_path / "w.pt"), foreign.wide_resnet_logits(state, X))


ODD = {
    "a network without a stem": (drop("conv1.weight"), "of no network that robench knows"),
    "a stem that is none": (lambda state: state | {"conv1.weight": torch.zeros(3)}, "first and last layers do not"),
    "a number": (lambda state: state | {"block1.layer.0.conv1.weight": torch.tensor(1.0)}, "look like a wide_resnet"),
    "sparse": (lambda state: state | {"fc.weight": torch.eye(10, 128).to_sparse()}, "reads dense real numbers"),
    "complex": (lambda state: state | {"fc.weight": state["fc.weight"] * 1j}, "fc.weight is torch.complex64"),
    "quantised": (
        lambda state: state | {"block2.layer.0.conv1.weight": torch.ones(64, 32, 3, 3, dtype=torch.int8)},
        "block2.layer.0.conv1.weight is torch.int8, but robench reads dense real numbers of 16 bits or more",
    ),
    "wide integers": (lambda state: state | {"fc.weight": torch.ones(10, 128, dtype=torch.int64)}, "is torch.int64"),
    "8-bit reals": (
        lambda state: state | {"fc.weight": state["fc.weight"].to(torch.float8_e4m3fn)}, "is torch.float8_e4m3fn"
    ),
    "sigma of 0": (lambda state: state | {"mu": torch.zeros(3), "sigma": torch.zeros(3)}, "greater than 0"),
    "mu up to 255": (
        lambda state: state | {"mu": torch.full((3,), 125.0), "sigma": torch.ones(3)}, "does not fit images"
    ),
    "one mu": (lambda state: state | {"mu": torch.zeros(1), "sigma": torch.ones(3)}, "does not fit images"),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD)
def test_odd_tensors_are_one_sentence(cli, tmp_path, what):
    change, words = ODD[what]
    torch.save(change(foreign.wide_resnet()), tmp_path / "w.pt")
    said = cli(
        "eval", "--model", tmp_path / "w.pt", "--dataset", "digits", "--mean", "none", "--results", tmp_path / "r"
    )
    assert said.code == 2
    assert words in said.sentence


def test_what_was_recognised_is_said(cli, tmp_path, digits):
    state = foreign.wide_resnet()
    state["conv1.weight"] = state["conv1.weight"][:, :1]
    torch.save(state, tmp_path / "w.pt")
    said = cli("eval", "--model", tmp_path / "w.pt", "--dataset", "digits", "--attack", "fgsm", "--limit", 20,
               "--mean", "0.5", "--std", "0.2", "--results", tmp_path / "r")  # fmt: skip
    assert said.code in (0, 3)
    words = "recognised by its keys as wide_resnet (depth = 10, widen_factor = 2), last layer linear"
    assert words in said.err
    header, _ = read(raw_record(tmp_path / "r", "fgsm"))
    assert words in header.remark
    assert "Images normalised by mean 0.5, std 0.2 (as said)." in said.out
