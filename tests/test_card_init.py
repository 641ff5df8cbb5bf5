"""`robench card init`: a network that was trained elsewhere joins the registry."""

import json
import tomllib

import foreign
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from test_own_networks import CODE

from robench.classifiers import load_card, load_own
from robench.specs import Network, read_card

X = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def place(tmp_path, digits):
    """A file with a function, weights of several kinds, and data that goes with the function."""
    (tmp_path / "beside.py").write_text("WIDTH = 16\n")
    (tmp_path / "net.py").write_text(CODE)
    torch.manual_seed(0)
    torch.save(load_own(Network(f"{tmp_path / 'net.py'}:make_model")).state_dict(), tmp_path / "w.pt")
    torch.save({"state_dict": foreign.wide_resnet(bias=False)}, tmp_path / "at_he.pt")
    save_file(timm.create_model("resnet18", num_classes=10).state_dict(), tmp_path / "timm.safetensors")
    np.savez(tmp_path / "scans.npz", x=digits.x[:40].numpy(), y=digits.y[:40].numpy())
    return tmp_path


def init(cli, place, *options):
    return cli("card", "init", *options, "--out", place / "models")


def test_recognised_weights(cli, place):
    said = init(cli, place, "--model", place / "at_he.pt", "--dataset", "cifar10", "--head", "he", "--scale", "15",
                "--name", "at_he", "--about", "TRADES with HE")  # fmt: skip
    assert said.code == 0
    folder = place / "models" / "cifar10" / "at_he"
    assert f"robench eval --model {folder}" in said.out.replace("\n", " ")
    card = read_card(folder)
    assert (card.about, card.head.kind, card.head.scale, card.head.margin) == ("TRADES with HE", "he", 15.0, 0.2)
    assert card.architecture.model_dump() == {"name": "wide_resnet", "args": {"depth": 10, "widen_factor": 2}}
    assert card.recipe is None
    with torch.no_grad():
        expected = foreign.he_logits(foreign.wide_resnet(bias=False), X)
        assert torch.allclose(load_card(card)(X), expected, atol=1e-6)
    assert "[recipe]" in cli("train", "--model", folder, "--out", place / "out").sentence


def test_a_function_on_data_of_ones_own(cli, place, monkeypatch):
    monkeypatch.chdir(place)
    said = init(cli, place, "--model", "net.py:make_model", "--weights", "w.pt", "--dataset", "npz:scans.npz",
                "--mean", "0.1", "--std", "0.5", "--name", "mine")  # fmt: skip
    assert said.code == 0
    folder = place / "models" / "scans" / "mine"
    assert tomllib.loads((folder / "card.toml").read_text())["dataset"] == "npz:../../../scans.npz"
    ours = ("--attack", "pgd-20", "--eps", "8/255", "--results", place / "r")
    (folder / "beside.py").write_text("WIDTH = 16\n")
    assert cli("eval", "--model", folder, *ours, "--json", place / "card.json").code == 0
    assert cli("eval", "--model", "net.py:make_model", "--weights", "w.pt", "--mean", "0.1", "--std", "0.5",
               "--dataset", "npz:scans.npz", *ours, "--json", place / "own.json").code == 0  # fmt: skip
    card, own = (json.loads((place / f"{name}.json").read_text())["results"][0] for name in ("card", "own"))
    assert card["model"].startswith("scans/mine@")
    assert card["robust_accuracy"] == own["robust_accuracy"]
    gate = ("check", "--model", folder, "--baseline", place / "b.jsonl", "--attack", "pgd-20", "--eps", "8/255")
    assert cli(*gate, "--update").code == 0
    assert cli(*gate).code == 0
    (folder / "net.py").write_text((folder / "net.py").read_text() + "\n# changed\n")
    assert "its card says" in cli("eval", "--model", folder, *ours, "--seed", 1).sentence


def test_a_network_of_a_library(cli, place):
    said = init(cli, place, "--model", "timm:resnet18", "--weights", place / "timm.safetensors", "--dataset", "cifar10")
    assert said.code == 0
    card = read_card(place / "models" / "cifar10" / "resnet18")
    assert card.architecture.name == "timm"
    assert card.input.mean == pytest.approx([0.485, 0.456, 0.406])
    with torch.no_grad():
        direct = load_own(Network("timm:resnet18", place / "timm.safetensors"))
        assert load_card(card)(X).equal(direct(X))


def test_a_card_with_other_weights(cli, place):
    (place / "recipe").mkdir()
    (place / "recipe" / "card.toml").write_text(
        'dataset = "cifar10"\nabout = "mine"\narchitecture = { name = "wide_resnet", args = { depth = 10, '
        'widen_factor = 2 } }\nhead = { kind = "he", scale = 15.0, margin = 0.2 }\n'
    )
    said = init(cli, place, "--model", place / "recipe", "--weights", place / "at_he.pt", "--dataset", "cifar10")
    assert said.code == 0
    assert read_card(place / "models" / "cifar10" / "recipe").head.scale == 15.0


REFUSED = {
    "a card as it stands": (("--model", "pgdat", "--dataset", "digits"), "a card is there already"),
    "no such data": (("--model", "at_he.pt", "--dataset", "cifar11"), "cifar10"),
    "a name that is none": (
        ("--model", "at_he.pt", "--dataset", "cifar10", "--head", "linear", "--name", "a/b"),
        "--name",
    ),
    "no such file": (("--model", "nowhere.pt", "--dataset", "cifar10"), "no such file"),
    "a head unsaid": (("--model", "at_he.pt", "--dataset", "cifar10"), "say --head he"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_off_is_one_sentence(cli, place, monkeypatch, what):
    monkeypatch.chdir(place)
    options, words = REFUSED[what]
    said = init(cli, place, *options)
    assert (said.code, said.out) == (2, "")
    assert words in said.sentence
    assert not list((place / "models").rglob("card.toml"))


def test_nothing_is_overwritten(cli, place):
    options = ("--model", place / "at_he.pt", "--dataset", "cifar10", "--head", "linear", "--name", "mine")
    assert init(cli, place, *options).code == 0
    before = (place / "models" / "cifar10" / "mine" / "card.toml").read_bytes()
    assert "is there already" in init(cli, place, *options).sentence
    assert (place / "models" / "cifar10" / "mine" / "card.toml").read_bytes() == before


def test_the_feature_layer_is_the_cards(cli, place):
    said = init(cli, place, "--model", f"{place / 'net.py'}:make_model", "--dataset", f"npz:{place / 'scans.npz'}",
                "--feature-layer", "2", "--name", "named")  # fmt: skip
    assert said.code == 0
    folder = place / "models" / "scans" / "named"
    (folder / "beside.py").write_text("WIDTH = 16\n")
    assert read_card(folder).feature_layer == "2"
    assert read_card(folder).identity()["feature_layer"] == "2"
    named = ("eval", "--model", folder, "--eps", "8/255", "--attack", "fn-pgd-20", "--results", place / "r")
    assert cli(*named).code == 0
    text = (folder / "card.toml").read_text()
    (folder / "card.toml").write_text(text.replace('feature_layer = "2"', 'feature_layer = "7"'))
    assert "unknown feature layer '7'" in cli(*named).last
