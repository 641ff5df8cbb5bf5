"""Checkpoints of the field: recognised by their keys, loaded strictly, the same logits to 1e-5 of the largest."""

from argparse import Namespace
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from robench.classifiers.classifier import Classifier
from robench.classifiers.sources import resolve
from robench.classifiers.sources.checkpoint import read_checkpoint, read_weights
from robench.classifiers.sources.recognition import recognise
from robench.errors import InputError
from robench.specs import Head, Input, NetworkSpec
from tests.support import foreign

X = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))
HE = Head(kind="he", scale=15.0, margin=0.2)

WRAPPINGS = {
    "bare.pt": torch.save,
    "module.pth": lambda state, path: torch.save({f"module.{key}": value for key, value in state.items()}, path),
    "compiled.pt": lambda state, path: torch.save({f"_orig_mod.{key}": value for key, value in state.items()}, path),
    "state_dict.pth.tar": lambda state, path: torch.save(
        {"epoch": 99, "test_acc": np.float64(0.85), "optimizer": {"lr": 0.1},
         "state_dict": {f"module.{key}": value for key, value in state.items()}}, path,
    ),
    "model.ckpt": lambda state, path: torch.save({"model": state, "epoch": torch.tensor(3)}, path),
    "net.t7": lambda state, path: torch.save({"net": state, "acc": 94.1}, path),
    "ema.pt": lambda state, path: torch.save({"ema": {"state_dict": state}}, path),
    "plain.safetensors": save_file,
}  # fmt: skip


PLAIN = Input()
CIFAR10 = Input(mean=[0.4914, 0.4822, 0.4465], std=[0.2471, 0.2435, 0.2616])


def loaded(state, path, write=torch.save, **said):
    """The network of a checkpoint whose images are said to be taken as they are, unless the weights or the test say."""
    write(state, path)
    return resolve(NetworkSpec(str(path), **({"input": PLAIN} | said))).network


def normalised(x, given=CIFAR10):
    return (x - torch.tensor(given.mean).view(-1, 1, 1)) / torch.tensor(given.std).view(-1, 1, 1)


def same(network, expected, x=X):
    assert not network.training
    with torch.no_grad():
        expected = expected.detach()
        off = (network(x) - expected).abs().max()
    assert off <= 1e-5 * max(1.0, float(expected.abs().max()))
    return True


@pytest.mark.parametrize("kind", WRAPPINGS)
def test_every_wrapping_gives_the_same_logits(tmp_path, kind):
    state = foreign.wide_resnet()
    assert same(loaded(state, tmp_path / kind, WRAPPINGS[kind]), foreign.wide_resnet_logits(state, X))


@pytest.mark.parametrize(("depth", "widen", "classes"), [(10, 1, 10), (16, 2, 100), (28, 1, 7)])
def test_wide_resnets_of_any_size(tmp_path, depth, widen, classes):
    state = foreign.wide_resnet(depth, widen, classes)
    network = loaded(state, tmp_path / "w.pt")
    assert same(network, foreign.wide_resnet_logits(state, X))
    found = recognise(read_checkpoint(tmp_path / "w.pt"))
    assert found.architecture.args == {"depth": depth, "widen_factor": widen}
    assert not any("sub_block1" in key for key in network.state_dict())


def test_hypersphere_embedding_is_said(tmp_path):
    state = foreign.wide_resnet(bias=False)
    with pytest.raises(InputError, match="no bias, as in hypersphere embedding: say --head he --scale 15"):
        loaded(state, tmp_path / "w.pt")
    network = loaded(state, tmp_path / "w.pt", head=HE)
    assert same(network, foreign.he_logits(state, X))
    assert (network.constants.scale, network.constants.margin) == (15.0, 0.2)
    assert same(loaded(state, tmp_path / "w.pt", head=Head()), foreign.wide_resnet_logits(state, X))
    with pytest.raises(InputError, match="has a bias"):
        loaded(foreign.wide_resnet(), tmp_path / "w.pt", head=HE)


def test_batch_norm_without_counters(tmp_path):
    state = foreign.wide_resnet(counted=False)
    assert same(loaded(state, tmp_path / "w.pt"), foreign.wide_resnet_logits(state, X))


@pytest.mark.parametrize("shortcut", ["raw", "activated"])
@pytest.mark.parametrize("final_norm", [True, False])
def test_preact_resnets_whose_keys_do_not_tell_the_shortcut(tmp_path, shortcut, final_norm):
    state = foreign.preact_resnet18(final_norm=final_norm)
    said = {"input": CIFAR10, "variant": f"{shortcut}-shortcut"}
    expected = foreign.preact_resnet18_logits(state, normalised(X), shortcut)
    assert same(loaded(state, tmp_path / "w.pt", **said), expected)
    with pytest.raises(InputError, match=r"--variant raw-shortcut .* or --variant activated-shortcut"):
        loaded(state, tmp_path / "w.pt")


@pytest.mark.parametrize("activation", ["silu", "relu"])
@pytest.mark.parametrize(
    ("make", "logits"),
    [
        (lambda: foreign.deepmind_wide_resnet(16, 2), foreign.deepmind_wide_resnet_logits),
        (foreign.deepmind_preact_resnet, foreign.deepmind_preact_resnet_logits),
        (lambda: foreign.deepmind_preact_resnet((3, 4, 6, 3)), foreign.deepmind_preact_resnet_logits),
    ],
    ids=["wide", "preact-18", "preact-34"],
)
def test_deepminds_networks_whose_keys_do_not_tell_the_activation(tmp_path, make, logits, activation):
    state = make()
    network = loaded(state, tmp_path / "w.pt", input=CIFAR10, variant=activation)
    assert same(network, logits(state, normalised(X), activation))
    with pytest.raises(InputError, match="its variant and the normalisation"):
        loaded(state, tmp_path / "w.pt", input=None)


def test_resnet50_with_a_stem_for_small_images(tmp_path):
    state = foreign.resnet50()
    assert same(loaded(state, tmp_path / "w.pt", input=CIFAR10), foreign.resnet50_logits(state, normalised(X)))


def test_wide_resnets_with_a_width_and_a_depth_for_each_group(tmp_path):
    state = foreign.flexible_wide_resnet()
    assert same(loaded(state, tmp_path / "w.pt"), foreign.flexible_wide_resnet_logits(state, X))


@pytest.mark.parametrize(
    "make", [foreign.wide_resnet, foreign.resnet18, foreign.flexible_wide_resnet, torchvision.models.resnet18]
)
def test_what_the_keys_do_not_say_of_normalisation_has_to_be_said(tmp_path, make):
    state = make() if isinstance(made := make(), dict) else made.state_dict()
    with pytest.raises(InputError, match=r"add --mean none .* or --mean 0.4914,0.4822,0.4465 --std 0.2471"):
        loaded(state, tmp_path / "w.pt", input=None)


def test_the_resnet18_common_on_cifar(tmp_path):
    state = foreign.resnet18(classes=100)
    assert same(loaded(state, tmp_path / "w.pt"), foreign.resnet18_logits(state, X))


@pytest.mark.parametrize(
    "mean, std, before", [("mu", "sigma", ""), ("mean", "std", "model."), ("0.mean", "0.std", "1.")]
)
def test_normalisation_that_the_weights_bring(tmp_path, mean, std, before):
    state = foreign.resnet18()
    bring = {mean: torch.full((1, 3, 1, 1), 0.4), std: torch.full((1, 3, 1, 1), 0.25)}
    whole = bring | {before + key: value for key, value in state.items()}
    assert same(loaded(whole, tmp_path / "w.pt", input=None), foreign.resnet18_logits(state, (X - 0.4) / 0.25))
    with pytest.raises(InputError, match="bring their normalisation"):
        loaded(whole, tmp_path / "w.pt", input=Input(mean=[0.5], std=[0.5]))


def test_normalisers_beside_the_network_as_robustness_libraries_save_them(tmp_path):
    """`module.model.*` with its normalizer, and an attacker that holds both a second time (Engstrom et al. 2019)."""
    state, mean, std = foreign.resnet18(), torch.full((3, 1, 1), 0.4), torch.full((3, 1, 1), 0.25)
    whole = {f"module.model.{key}": value for key, value in state.items()}
    whole |= {"module.normalizer.new_mean": mean, "module.normalizer.new_std": std}
    whole |= {f"module.attacker.model.{key}": value for key, value in state.items()}
    whole |= {"module.attacker.normalize.new_mean": mean, "module.attacker.normalize.new_std": std}
    assert same(loaded({"model": whole, "epoch": 3}, tmp_path / "w.pt", input=None),
                foreign.resnet18_logits(state, (X - 0.4) / 0.25))  # fmt: skip


MORE = {
    "a criterion": lambda state: state | {"criterion.weight": torch.zeros(3)},
    "an average beside it": lambda state: {"model": state, "ema": {key: value.clone() for key, value in state.items()}},
    "training state": lambda state: {
        "net": state,
        "epoch": torch.tensor(3),
        "optimizer": {"state": {0: torch.ones(2)}},
    },
    "under a prefix": lambda state: {"n_averaged": torch.tensor(2)} | {f"module.{k}": v for k, v in state.items()},
}


@pytest.mark.parametrize("what", MORE)
def test_the_part_that_fits_is_taken_and_said(tmp_path, what):
    state = foreign.wide_resnet()
    torch.save(MORE[what](state), tmp_path / "w.pt")
    found = resolve(NetworkSpec(str(tmp_path / "w.pt"), input=PLAIN))
    assert same(found.network, foreign.wide_resnet_logits(state, X))
    assert "left out" in found.remark


def test_of_several_networks_one_has_to_be_chosen(tmp_path):
    first, second = foreign.wide_resnet(), foreign.wide_resnet()
    second = {key: value + 0.01 if value.is_floating_point() else value for key, value in second.items()}
    whole = {"model": first, "model_ema": {f"module.{key}": value for key, value in second.items()}}
    with pytest.raises(
        InputError, match=r"2 different networks \('model', 'model_ema.module'\): choose one with --key"
    ):
        loaded(whole, tmp_path / "w.pt")
    assert same(loaded(whole, tmp_path / "w.pt", key="model_ema"), foreign.wide_resnet_logits(second, X))
    assert same(loaded(whole, tmp_path / "w.pt", key="model"), foreign.wide_resnet_logits(first, X))
    with pytest.raises(InputError, match="no tensors under 'teacher', only model, model_ema"):
        loaded(whole, tmp_path / "w.pt", key="teacher")


def test_objects_beside_the_tensors_are_not_built(tmp_path):
    """What GPU-trained files are full of; nothing of it is imported or run."""
    state = foreign.wide_resnet()
    beside = {
        "args": Namespace(lr=0.1, out=Path("runs")), "acc": np.float32(0.5), "curve": np.ones(3),
        "log": defaultdict(list, {"loss": [1.0]}),
    }  # fmt: skip
    torch.save({"state_dict": state, **beside}, tmp_path / "w.pt")
    assert same(loaded(torch.load(tmp_path / "w.pt", weights_only=False), tmp_path / "w.pt"),
                foreign.wide_resnet_logits(state, X))  # fmt: skip


class Harm:
    """A pickle that would run code."""

    place: str

    def __reduce__(self):
        return Path.touch, (Path(Harm.place),)


def test_code_beside_the_tensors_never_runs(tmp_path):
    state, Harm.place = foreign.wide_resnet(), str(tmp_path / "harmed")
    for write in ({}, {"_use_new_zipfile_serialization": False}):
        torch.save({"state_dict": state, "hook": Harm()}, tmp_path / "w.pt", **write)
        found = resolve(NetworkSpec(str(tmp_path / "w.pt"), input=PLAIN)).network
        assert same(found, foreign.wide_resnet_logits(state, X))
        assert not (tmp_path / "harmed").exists()


@pytest.mark.parametrize(
    "name", ["resnet18", "resnet50", "resnext50_32x4d", pytest.param("wide_resnet50_2", marks=pytest.mark.slow)]
)
def test_resnets_of_torchvision(tmp_path, name):
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, num_classes=12).eval()
    network = loaded(theirs.state_dict(), tmp_path / "w.pth")
    x = torch.rand(1, 3, 64, 64)
    assert same(network, theirs(x), x)
    assert isinstance(network, Classifier)


@pytest.mark.parametrize(
    ("library", "make", "name"),
    [
        ("timm", timm.create_model, "resnet18"),
        ("timm", timm.create_model, "vit_tiny_patch16_224"),
        ("torchvision", torchvision.models.get_model, "mobilenet_v3_small"),
    ],
)
def test_networks_that_a_library_makes(tmp_path, library, make, name):
    torch.manual_seed(0)
    theirs = make(name, num_classes=7).eval()
    save_file(theirs.state_dict(), tmp_path / "w.safetensors")
    network = resolve(NetworkSpec(f"{library}:{name}", tmp_path / "w.safetensors")).network
    x, half = torch.rand(1, 3, 224, 224), torch.full((3, 1, 1), 0.5)
    usual = {"vit_tiny_patch16_224": (half, half)}.get(
        name, (torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1))
    )
    assert same(network, theirs((x - usual[0]) / usual[1]), x)


def test_a_card_with_other_weights(tmp_path):
    state = foreign.wide_resnet(depth=34, widen=1, bias=False)
    torch.save({"state_dict": state}, tmp_path / "w.pt")
    card = tmp_path / "card.toml"
    card.write_text(
        'dataset = "cifar10"\nabout = "mine"\narchitecture = { name = "wide_resnet", args = { depth = 34, '
        'widen_factor = 1 } }\nhead = { kind = "he", scale = 15.0, margin = 0.2 }\n'
    )
    with pytest.raises(InputError, match=r"neither card .* nor weights .* say how images are normalised: put input ="):
        resolve(NetworkSpec(str(card), tmp_path / "w.pt"))
    card.write_text(f"{card.read_text()}input = {{ mean = {CIFAR10.mean}, std = {CIFAR10.std} }}\n")
    assert same(resolve(NetworkSpec(str(card), tmp_path / "w.pt")).network, foreign.he_logits(state, normalised(X)))


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
    "arrays": (lambda path: torch.save({"a": np.ones(2)}, path), "hold no tensors by name, only a: save"),
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
    assert same(loaded(state, tmp_path / "w.pth"), theirs(x), x)


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
    "sparse": (lambda state: state | {"fc.weight": torch.eye(10, 128).to_sparse()}, "expected dense real numbers"),
    "complex": (lambda state: state | {"fc.weight": state["fc.weight"] * 1j}, "fc.weight is torch.complex64"),
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
    assert "recognised by its keys as wide_resnet (depth = 10, widen_factor = 2), last layer linear" in said.err
    assert "images normalised by mean 0.5, std 0.2 (as said)" in said.err
