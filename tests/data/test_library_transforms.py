"""`--resize auto`: pixels are those of the library's own transform, without its normalisation."""

import importlib
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torchvision.models import get_model_weights
from torchvision.transforms.functional import normalize

from robench.data import library_transforms
from robench.data.class_names import CIFAR100
from robench.data.library_transforms import library_transform
from robench.data.sizes import library_of
from robench.data.standard_classes import imagenet_ids, imagenet_words, standard_names
from robench.specs import Architecture, Card, NetworkSpec
from tests.support.refusals import refused

TIMM: Any = importlib.import_module("timm.data")
PIXELS = np.random.default_rng(0).integers(0, 256, (190, 250, 3), dtype=np.uint8)


def ours(name):
    """The image as a network of robench gets it."""
    pixels = np.array(library_transform(name).apply(Image.fromarray(PIXELS)))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("name", ["test_resnet", "vit_tiny_patch16_224", "inception_v3"])
def test_timm(name):
    config = TIMM.resolve_model_data_config(timm.create_model(name)) if name == "test_resnet" else None
    config = config or TIMM.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    theirs = TIMM.create_transform(**config, is_training=False)
    assert torch.equal(normalize(ours(f"timm:{name}"), config["mean"], config["std"]), theirs(Image.fromarray(PIXELS)))
    said = library_transform(f"timm:{name}").how
    assert f"resized as timm:{name} (input_size {' x '.join(map(str, config['input_size']))}" in said
    assert f"interpolation {config['interpolation']}, crop_pct {config['crop_pct']}" in said


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_torchvision(name):
    theirs = get_model_weights(name).DEFAULT.transforms()
    assert torch.equal(normalize(ours(f"torchvision:{name}"), theirs.mean, theirs.std), theirs(Image.fromarray(PIXELS)))
    assert f"interpolation {theirs.interpolation.value}" in library_transform(f"torchvision:{name}").how


@pytest.mark.parametrize("name", ["timm:nope", "torchvision:nope"])
def test_an_unknown_name_is_refused(name):
    refused(lambda: library_transform(name), f"--resize {name}", "declares no transform", "--resize N")


def test_a_library_that_is_not_installed_is_named(monkeypatch):
    def missing(name):
        raise ImportError(name)

    monkeypatch.setattr(library_transforms, "_timm", missing)
    refused(lambda: library_transform("timm:test_vit"), "needs timm", "robench[timm]")


def test_auto_is_the_network_of_the_card_or_of_the_command_line():
    card = Card(dataset="digits", about="", architecture=Architecture(name="timm", args={"name": "resnet18"}))
    assert library_of(NetworkSpec("cards/mine"), card) == "timm:resnet18"
    assert library_of(NetworkSpec("torchvision:vit_b_16"), None) == "torchvision:vit_b_16"
    other = card.model_copy(update={"architecture": Architecture(name="convnet")})
    refused(lambda: library_of(NetworkSpec("cards/mine"), other), "--model cards/mine", "--resize N")


def test_the_ids_of_imagenet_are_those_of_timm():
    assert list(imagenet_ids()) == TIMM.ImageNetInfo().label_names()
    words = imagenet_words()
    assert (words[0], words[999]) == ("tench", "toilet tissue")
    assert {words[264], words[474]} == {imagenet_ids()[264], imagenet_ids()[474]}  # both are cardigans
    assert len(set(words)) == 1000


def test_the_list_in_which_most_names_stand_is_taken():
    assert standard_names(1000, ["n01440764", "n09999999"]) == imagenet_ids()
    assert standard_names(1000, ["Great_White-Shark", "tench"]) == imagenet_words()
    assert standard_names(10, ["cat", "ship", "dog", "frog", "deer"])[3] == "cat"
    assert standard_names(10, ["cat", "dog", "horse", "cow"]) == ()
    assert standard_names(100, ["maple tree"]) == ()
    assert len(standard_names(100, [name.upper() for name in CIFAR100[:50]])) == 100
    assert standard_names(1000, ["cats"]) == standard_names(7, ["cat"]) == ()
