"""Networks of timm on the Hugging Face Hub: `--model timm:hf-hub:ORG/NAME`, read from the Hub's cache."""

import importlib
import json
from typing import Any

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms.functional import normalize

from robench.classifiers.normalised import Normalised
from robench.classifiers.sources import resolve
from robench.data.library_transforms import library_transform
from robench.errors import InputError
from robench.specs import Input, NetworkSpec
from tests.support.programs import evaluated, robust_accuracy, same_logits, same_verdicts

TIMM: Any = importlib.import_module("timm.data")
MEAN, STD = [0.25], [0.5]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


untrained = pytest.mark.filterwarnings("ignore:the worst case is broken")
"""A network with random weights is no better than guessing."""


def original():
    torch.manual_seed(0)
    return timm.create_model("resnet10t", num_classes=10, in_chans=1).eval()


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A cache of the Hub that holds one network, as a download leaves it; nothing is fetched."""
    place = tmp_path / "hub" / "models--lab--digits.r10"
    snapshot = place / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(COMMIT)
    usual = {"input_size": [1, 8, 8], "mean": MEAN, "std": STD, "num_classes": 10, "classifier": "fc",
             "first_conv": "conv1.0"}  # fmt: skip
    config = {"architecture": "resnet10t", "num_classes": 10, "model_args": {"in_chans": 1}, "pretrained_cfg": usual}
    (snapshot / "config.json").write_text(json.dumps(config))
    save_file(original().state_dict(), snapshot / "model.safetensors")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path


@untrained
@pytest.mark.parametrize("prefix", ["hf-hub", "hf_hub"])
def test_a_network_of_the_hub(hub, digits, prefix):
    spec = NetworkSpec(f"timm:{prefix}:lab/digits.r10")
    assert (spec.kind, spec.label) == ("library", "lab-digits.r10")
    loaded = resolve(spec)
    assert (loaded.input, loaded.input_source) == (Input(mean=MEAN, std=STD), "of timm")
    expected = Normalised(original(), MEAN, STD).eval()
    same_logits(loaded.network, expected, sizes=(1, 3))
    if prefix == "hf-hub":
        same_verdicts(loaded.network, expected, digits, 20)


def test_the_user_may_name_another_normalisation(hub):
    loaded = resolve(NetworkSpec("timm:hf-hub:lab/digits.r10", input=Input()))
    same_logits(loaded.network, original(), sizes=(1, 3))
    assert loaded.input_source == "as said"


@untrained
def test_from_the_command_line(cli, hub, digits):
    row, said = evaluated(cli, hub, "timm:hf-hub:lab/digits.r10", examples=20)
    assert row["model"].startswith("digits/lab-digits.r10@")
    assert "Images normalised by mean 0.25, std 0.5 (of timm)." in said.out
    expected = robust_accuracy(Normalised(original(), MEAN, STD).eval(), digits, 20)
    assert row["robust_accuracy"] == pytest.approx(expected)


def test_resize_auto_takes_the_transform_that_the_hub_declares(hub):
    found = library_transform("timm:hf-hub:lab/digits.r10")
    assert found.how.startswith("resized as timm:hf-hub:lab/digits.r10 (input_size 1 x 8 x 8, ")
    theirs = TIMM.create_transform(**TIMM.resolve_model_data_config(timm.create_model("hf-hub:lab/digits.r10")))
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    ours = torch.from_numpy(np.array(found.apply(Image.fromarray(pixels)))).permute(2, 0, 1).float() / 255
    assert torch.equal(normalize(ours, MEAN * 3, STD * 3), theirs(Image.fromarray(pixels)))
    with pytest.raises(InputError, match="--resize timm:hf-hub:lab/none: timm declares no transform for it"):
        library_transform("timm:hf-hub:lab/none")


def test_a_network_that_is_not_in_the_cache_is_named(hub):
    with pytest.raises(InputError, match=r"timm cannot make 'hf-hub:lab/none' \(.*\): name another") as raised:
        resolve(NetworkSpec("timm:hf-hub:lab/none"))
    assert "\n" not in str(raised.value)


def test_a_damaged_file_is_named(hub):
    (weights,) = hub.rglob("model.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"timm cannot make 'hf-hub:lab/digits.r10' \(.*\)"):
        resolve(NetworkSpec("timm:hf-hub:lab/digits.r10"))
