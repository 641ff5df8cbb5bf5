"""Networks of other code whose keys fit several functions: each reading gives the logits of its own source."""

import pytest
import timm
import torch
from torch import nn

from robench.classifiers.sources import resolve
from robench.errors import InputError
from robench.specs import NetworkSpec
from tests.support import foreign
from tests.support.checkpoints import PLAIN, loaded, same


def lived_in(network):
    """In evaluation mode, with batch norms as after training: no scale is 0 or 1, no shift and mean 0."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_(0, 0.3)
    return network.eval()


def images(size, n=2):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize(
    ("name", "variant", "size"),
    [
        ("resnet18", "plain", 64),
        ("resnetaa50", "average-pooled", 64),
        ("resnetblur50", "blur-pooled", 50),
        ("resnetblur18", "blur-pooled", 33),
    ],
)
def test_resnets_of_timm_that_pool_instead_of_strides(tmp_path, name, variant, size):
    theirs, x = lived_in(timm.create_model(name, num_classes=7)), images(size)
    network = loaded(theirs.state_dict(), tmp_path / "w.pt", variant=variant)
    assert same(network, theirs(x), x)
    if variant != "plain":
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
