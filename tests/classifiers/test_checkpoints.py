"""Checkpoints of the field: recognised by their keys, loaded strictly, the same logits to 1e-5 of the largest."""

from argparse import Namespace
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save_file

from robench.classifiers.classifier import Classifier
from robench.classifiers.sources import resolve
from robench.classifiers.sources.checkpoint import read_checkpoint
from robench.classifiers.sources.recognition import recognise
from robench.errors import InputError
from robench.specs import Head, Input, NetworkSpec
from tests.support import foreign
from tests.support.checkpoints import CIFAR10, PLAIN, X, loaded, normalised, same
from tests.support.marks import slow

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


DEEPMINDS = {
    "wide": (lambda: foreign.deepmind_wide_resnet(16, 2), foreign.deepmind_wide_resnet_logits),
    "preact-18": (foreign.deepmind_preact_resnet, foreign.deepmind_preact_resnet_logits),
    "preact-34": (lambda: foreign.deepmind_preact_resnet((3, 4, 6, 3)), foreign.deepmind_preact_resnet_logits),
}
SMALLER = [(name, activation) for name in ("wide", "preact-18") for activation in ("silu", "relu")]


@pytest.mark.parametrize(("name", "activation"), [*SMALLER, ("preact-34", "silu"), slow("preact-34", "relu")])
def test_deepminds_networks_whose_keys_do_not_tell_the_activation(tmp_path, name, activation):
    make, logits = DEEPMINDS[name]
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


def shifted(state, by):
    return {key: value + by if value.is_floating_point() else value for key, value in state.items()}


SAME_NAME = {
    "a mapping in a mapping": (
        lambda one, two: {"model": {f"module.{key}": value for key, value in one.items()} | {"module": two}},
        ("model:module", "model.module:"),
    ),
    "a prefix and a mapping": (
        lambda one, two: {f"model.{key}": value for key, value in one.items()} | {"model": two}, (":model", "model:")
    ),
    "keys with dots": (lambda one, two: {"a": {"b": one}, "a.b": two}, ("a.b", "a.b (1)")),
}  # fmt: skip


@pytest.mark.parametrize("what", SAME_NAME)
def test_of_two_networks_of_the_same_name_both_are_named(tmp_path, what):
    wrap, names = SAME_NAME[what]
    first, second = foreign.wide_resnet(), shifted(foreign.wide_resnet(), 0.01)
    with pytest.raises(InputError, match="2 different networks") as said:
        loaded(wrap(first, second), tmp_path / "w.pt")
    assert f"('{names[0]}', '{names[1]}'): choose one with --key NAME" in str(said.value)
    for name, state in zip(names, (first, second), strict=True):
        assert same(loaded(wrap(first, second), tmp_path / "w.pt", key=name), foreign.wide_resnet_logits(state, X))
    assert same(loaded(wrap(first, first), tmp_path / "w.pt"), foreign.wide_resnet_logits(first, X))


def test_a_network_beside_networks_under_its_name_can_be_chosen(tmp_path):
    first, second = foreign.wide_resnet(), shifted(foreign.wide_resnet(), 0.01)
    whole = {"model": first, "model.copy": second}
    assert same(loaded(whole, tmp_path / "w.pt", key="model"), foreign.wide_resnet_logits(first, X))


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


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnext50_32x4d", slow("wide_resnet50_2")])
def test_resnets_of_torchvision(tmp_path, name):
    torch.manual_seed(0)
    theirs = torchvision.models.get_model(name, num_classes=12).eval()
    network = loaded(theirs.state_dict(), tmp_path / "w.pth", variant="plain")
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
