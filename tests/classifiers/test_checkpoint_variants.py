"""Networks of other code whose keys fit several functions: each reading gives the logits of its own source."""

from math import log2

import pytest
import timm
import torch
from timm.models.xcit import Xcit, xcit_small_12_p16_224
from torch import nn

from robench.classifiers.sources import resolve
from robench.errors import InputError
from robench.specs import NetworkSpec
from tests.support import foreign, foreign_wide
from tests.support.checkpoints import CIFAR10, PLAIN, X, loaded, normalised, same
from tests.support.marks import slow


def lived_in(network):
    """In evaluation mode, with norms as after training: no scale is 0 or 1, no shift and mean 0."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 1.5)
            module.running_mean.normal_(0, 0.3)
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    return network.eval()


def images(size, n=2):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("name", "variant", "size"), [("resnetaa50", "average-pooled", 32), ("resnetblur18", "blur-pooled", 33)]
)
def test_resnets_of_timm_that_pool_instead_of_strides(tmp_path, name, variant, size):
    theirs, x = lived_in(timm.create_model(name, num_classes=7)), images(size)
    network = loaded(theirs.state_dict(), tmp_path / "w.pt", variant=variant)
    assert same(network, theirs(x), x)
    other = resolve(NetworkSpec(str(tmp_path / "w.pt"), input=PLAIN, variant="plain")).network
    assert not torch.allclose(other(x), theirs(x), atol=1e-2)


def test_resnets_whose_first_convolution_has_the_stride(tmp_path):
    theirs, x = lived_in(timm.create_model("resnet50", num_classes=7)), images(64)
    state = theirs.state_dict()
    network = loaded(state, tmp_path / "w.pt", variant="first-strided")
    assert same(network, foreign.resnet50_of_caffe_logits(state, x), x)
    assert not torch.allclose(network(x), theirs(x), atol=1e-2)


def test_every_reading_of_a_resnet_is_named_with_its_option(cli, tmp_path):
    torch.save(timm.create_model("resnetblur18").state_dict(), tmp_path / "w.pt")
    said = cli(
        "eval", "--model", tmp_path / "w.pt", "--dataset", "digits", "--mean", "none", "--results", tmp_path / "r"
    )
    assert (said.code, said.out) == (2, "")
    for option in ("plain", "average-pooled", "blur-pooled", "first-strided"):
        assert f"--variant {option} (" in said.sentence
    with pytest.raises(InputError, match="unknown variant of torchvision_resnet 'blur'"):
        loaded(torch.load(tmp_path / "w.pt"), tmp_path / "w.pt", variant="blur")


def xcit(patch, width=64, heads=4, class_norm=False, strided=4):
    """A small XCiT of timm; for smaller patches its first convolutions have stride 1 (Debenedetti et al. 2022)."""
    torch.manual_seed(0)
    side = 16 if strided == 4 else 8
    network = lived_in(
        Xcit(patch_size=side, embed_dim=width, depth=2, num_heads=heads, tokens_norm=not class_norm, num_classes=7)
    )
    for at in range(strided - int(log2(patch))):
        network.patch_embed.proj[2 * at][0].stride = (1, 1)
    for each in network.parameters():
        if each.dim() > 1:
            each.data.normal_(0, each[0].numel() ** -0.5)
    return network


@pytest.mark.parametrize(
    ("variant", "how", "size"),
    [
        ("patch-4", {"patch": 4}, 32),
        ("patch-8", {"patch": 8, "strided": 3, "heads": 2, "width": 32}, 48),
        ("patch-8", {"patch": 8}, 64),
        ("patch-16", {"patch": 16}, 64),
        ("nano-patch-16", {"patch": 16, "class_norm": True}, 64),
    ],
)
def test_cross_covariance_transformers(tmp_path, variant, how, size):
    theirs, x = xcit(**how), images(size)
    network = loaded(theirs.state_dict(), tmp_path / "w.pt", variant=variant)
    assert same(network, theirs(x), x)
    others = {"patch-4", "nano-patch-8" if variant == "patch-8" else variant.removeprefix("nano-")} - {variant}
    for other in others:
        again = resolve(NetworkSpec(str(tmp_path / "w.pt"), input=PLAIN, variant=other)).network
        assert not torch.allclose(again(x), theirs(x), atol=1e-3)


def xcit_s12():
    """XCiT-S12 at the size of Debenedetti et al. 2022."""
    network = lived_in(xcit_small_12_p16_224(num_classes=10))
    for at in (0, 2):
        network.patch_embed.proj[at][0].stride = (1, 1)
    return network


@pytest.mark.parametrize("make", [pytest.param(lambda: xcit(4), id="small"), slow(xcit_s12, id="S12")])
def test_robust_xcits_on_cifar(tmp_path, make):
    """With the normalisation that their published wrapper adds."""
    theirs = make()
    state = {f"model.{key}": value for key, value in theirs.state_dict().items()}
    state |= {"normalize.mean": torch.full((1, 3, 1, 1), 0.4), "normalize.std": torch.full((1, 3, 1, 1), 0.25)}
    x = images(32)
    network = loaded(state, tmp_path / "w.pt", input=None, variant="patch-4")
    assert same(network, theirs((x - 0.4) / 0.25), x)
    with pytest.raises(InputError, match=r"tell its variant: add --variant patch-4 \(patches of 4 pixels: Debenedetti"):
        loaded(state, tmp_path / "w.pt", input=None)
    with pytest.raises(InputError, match="add --mean none"):
        loaded(theirs.state_dict(), tmp_path / "w.pt", input=None, variant="patch-4")


@pytest.mark.parametrize("shared", [True, False])
def test_wide_resnets_with_a_parametric_activation(tmp_path, shared):
    state = foreign_wide.pssilu_wide_resnet(shared)
    network = loaded(state, tmp_path / "w.pt")
    assert same(network, foreign_wide.pssilu_wide_resnet_logits(state, X))
    with pytest.raises(InputError, match="of no network that robench knows"):
        loaded({key: value for key, value in state.items() if key != "activation.beta"}, tmp_path / "w.pt")


@pytest.mark.parametrize("activation", ["silu", "relu"])
def test_robust_resnets_bring_their_normalisation_and_need_their_activation(tmp_path, activation):
    state = foreign_wide.robust_resnet()
    expected = foreign_wide.robust_resnet_logits(state, normalised(X), activation)
    state |= {"mu": torch.tensor(CIFAR10.mean).view(3, 1, 1), "sigma": torch.tensor(CIFAR10.std).view(3, 1, 1)}
    assert same(loaded(state, tmp_path / "w.pt", input=None, variant=activation), expected)
    with pytest.raises(InputError, match=r"do not tell its variant: add --variant silu .* or --variant relu"):
        loaded(state, tmp_path / "w.pt", input=None)


@pytest.mark.parametrize("activation", ["silu", "relu"])
@pytest.mark.parametrize(
    ("squeeze", "sparse", "after"),
    [(True, False, "second"), (True, False, "first"), (True, True, "second"), (False, True, "none")],
)
def test_wide_resnets_with_squeeze_and_excitation_or_mean_sparse(tmp_path, squeeze, sparse, after, activation):
    state = foreign_wide.deepmind_flexible(squeeze=squeeze, sparse=sparse)
    variant = activation + ("-squeeze-first" if after == "first" else "")
    network = loaded(state, tmp_path / "w.pt", input=CIFAR10, variant=variant)
    assert same(network, foreign_wide.deepmind_flexible_logits(state, normalised(X), activation, after))
    with pytest.raises(InputError, match="its variant and the normalisation"):
        loaded(state, tmp_path / "w.pt", input=None)
