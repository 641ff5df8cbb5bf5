"""`robench card init`: a card for a network that was trained elsewhere, all of it or nothing."""

import json
import os
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from robench.classifiers import load_card, resolve
from robench.evaluation.request import NetworkUnderTest
from robench.paths import data_root
from robench.specs import NetworkSpec, find_card, read_card
from tests.support import foreign
from tests.support.user_code import CODE

X = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(3))


ODD = """
from pathlib import Path

import torch
from torch import nn


class Shifted(nn.Sequential):
    def __init__(self, shift, classes=10):
        super().__init__(nn.Flatten(), nn.Linear(64, classes))
        self.shift = shift

    def forward(self, x):
        return super().forward(x) + self.shift


def other_each_time():
    return Shifted(torch.randn(10))


def not_finite():
    return Shifted(float("nan"))


def two_classes():
    return Shifted(0.0, 2)


def needs_a_file():
    return Shifted(float(Path(__file__).with_name("shift.txt").read_text()))
"""


@pytest.fixture(scope="module")
def _place(tmp_path_factory, digits):
    place = tmp_path_factory.mktemp("place")
    (place / "beside.py").write_text("WIDTH = 16\n")
    (place / "net.py").write_text(CODE)
    (place / "odd.py").write_text(ODD)
    (place / "shift.txt").write_text("1.0")
    torch.manual_seed(0)
    torch.save(resolve(NetworkSpec(f"{place / 'net.py'}:make_model")).network.state_dict(), place / "w.pt")
    torch.save({"state_dict": foreign.wide_resnet(bias=False)}, place / "at_he.pt")
    save_file(timm.create_model("resnet18", num_classes=10).state_dict(), place / "timm.safetensors")
    torch.save({"state_dict": foreign.wide_resnet()}, place / "wrn10.pt")
    np.savez(place / "scans.npz", x=digits.x[:40].numpy(), y=digits.y[:40].numpy())
    np.savez(place / "nines.npz", x=digits.x[digits.y == 9].numpy(), y=digits.y[digits.y == 9].numpy())
    return place


@pytest.fixture
def place(_place, tmp_path):
    """A file with a function, weights of several kinds, and data that goes with the function."""
    return shutil.copytree(_place, tmp_path, copy_function=linked, dirs_exist_ok=True)


def linked(old, new):
    """Copy a file; weights of megabytes, which no test changes, are linked."""
    os.link(old, new) if Path(old).stat().st_size > 2**20 else shutil.copy(old, new)


def init(cli, place, *options):
    return cli("card", "init", *options, "--out", place / "models")


def a_function_card(cli, place, *options, name="mine"):
    """The folder of a card for the function in `net.py`, on data of one's own."""
    said = init(cli, place, "--model", f"{place / 'net.py'}:make_model", "--weights", place / "w.pt",
                "--dataset", f"npz:{place / 'scans.npz'}", "--name", name, *options)  # fmt: skip
    assert said.code == 0, said.err
    return place / "models" / "scans" / name


def test_recognised_weights(cli, place):
    said = init(cli, place, "--model", place / "at_he.pt", "--dataset", "cifar10", "--head", "he", "--scale", "15",
                "--mean", "none", "--name", "at_he", "--about", "TRADES with HE")  # fmt: skip
    assert said.code == 0
    folder = place / "models" / "cifar10" / "at_he"
    assert f"outside the registry and goes by its path: `robench eval --model {folder}`" in said.out
    assert "Tried on noise: cifar10 is not in 'data'" in said.err.replace("\n", " ")
    card = read_card(folder)
    assert (card.about, card.head.kind, card.head.scale, card.head.margin) == ("TRADES with HE", "he", 15.0, 0.2)
    assert card.architecture.model_dump() == {"name": "wide_resnet", "args": {"depth": 10, "widen_factor": 2}}
    assert card.recipe is None
    with torch.no_grad():
        expected = foreign.he_logits(foreign.wide_resnet(bias=False), X)
        assert torch.allclose(load_card(card)(X), expected, atol=1e-6)
    assert "[recipe]" in cli("train", "--model", folder, "--out", place / "out").sentence


def test_recognised_weights_on_data_of_ones_own(cli, place):
    """Keys of safetensors are sorted: the first convolution in the file is not that of the stem."""
    np.savez(place / "photos.npz", x=X.permute(0, 2, 3, 1).numpy(), y=np.arange(len(X)))
    said = init(cli, place, "--model", place / "wrn10.pt", "--mean", "none", "--dataset", f"npz:{place / 'photos.npz'}",
                "--name", "mine")  # fmt: skip
    assert said.code == 0, said.err
    with torch.no_grad():
        expected = foreign.wide_resnet_logits(foreign.wide_resnet(), X)
        assert torch.allclose(load_card(read_card(place / "models" / "photos" / "mine"))(X), expected, atol=1e-6)


def test_a_function_on_data_of_ones_own(cli, place, monkeypatch):
    monkeypatch.chdir(place)
    said = init(cli, place, "--model", "net.py:make_model", "--weights", "w.pt", "--dataset", "npz:scans.npz",
                "--mean", "0.1", "--std", "0.5", "--name", "mine")  # fmt: skip
    assert said.code == 0
    folder = place / "models" / "scans" / "mine"
    assert tomllib.loads((folder / "card.toml").read_text())["dataset"] == "npz:../../../scans.npz"
    ours = ("--attack", "pgd-20", "--eps", "8/255", "--results", place / "r")
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
    assert "its card was written for" in cli("eval", "--model", folder, *ours, "--seed", 1).sentence


def test_a_network_of_a_library(cli, place):
    said = init(cli, place, "--model", "timm:resnet18", "--weights", place / "timm.safetensors", "--dataset", "cifar10")
    assert said.code == 0
    card = read_card(place / "models" / "cifar10" / "resnet18")
    assert card.architecture.name == "timm"
    assert card.input.mean == pytest.approx([0.485, 0.456, 0.406])
    with torch.no_grad():
        direct = resolve(NetworkSpec("timm:resnet18", place / "timm.safetensors")).network
        assert load_card(card)(X).equal(direct(X))


def test_a_card_with_other_weights(cli, place):
    (place / "recipe").mkdir()
    (place / "recipe" / "card.toml").write_text(
        'dataset = "cifar10"\nabout = "mine"\narchitecture = { name = "wide_resnet", args = { depth = 10, '
        'widen_factor = 2 } }\nhead = { kind = "he", scale = 15.0, margin = 0.2 }\n'
        "input = { mean = [0.4914, 0.4822, 0.4465], std = [0.2471, 0.2435, 0.2616] }\n"
    )
    said = init(cli, place, "--model", place / "recipe", "--weights", place / "at_he.pt", "--dataset", "cifar10")
    assert said.code == 0
    assert read_card(place / "models" / "cifar10" / "recipe").head.scale == 15.0


SCANS = ("--dataset", "npz:scans.npz")
REFUSED = {
    "a card as it stands": (("--model", "pgdat", "--dataset", "digits"), "a card is there already"),
    "no such data": (("--model", "at_he.pt", "--dataset", "cifar11"), "cifar10"),
    "a name that is none": (
        ("--model", "at_he.pt", "--dataset", "cifar10", "--head", "linear", "--name", "a/b"),
        "--name",
    ),
    "no such file": (("--model", "nowhere.pt", "--dataset", "cifar10"), "no such file"),
    "a head unsaid": (("--model", "at_he.pt", "--dataset", "cifar10", "--mean", "none"), "say --head he"),
    "weights of fewer classes": (
        ("--model", "wrn10.pt", "--dataset", "cifar100", "--mean", "none"),
        "10 classes, but 'cifar100' has 100",
    ),
    "a library's network of fewer classes": (
        ("--model", "timm:resnet18", "--weights", "timm.safetensors", "--dataset", "cifar100"),
        "10 classes, but 'cifar100' has 100",
    ),
    "a function for other images": (("--model", "net.py:make_model", "--dataset", "cifar10"), "shape (3, 32, 32)"),
    "weights for other images": (("--model", "wrn10.pt", "--mean", "none", *SCANS), "shape (1, 8, 8)"),
    "labels beyond its classes": (("--model", "odd.py:two_classes", "--dataset", "npz:nines.npz"), "label 9 is beyond"),
    "logits that are none": (("--model", "odd.py:not_finite", *SCANS), "NaN or infinite"),
    "another network each time": (("--model", "odd.py:other_each_time", *SCANS), "would give other logits"),
    "code that reads a file beside it": (("--model", "odd.py:needs_a_file", *SCANS), "not written: --model"),
    "robench's own on data of one's own": (
        ("--model", "pgdat", "--weights", str(data_root() / "models/digits/pgdat/weights.safetensors"), *SCANS),
        "name a network that brings its shape and classes, or use one of digits",
    ),
    "no such feature layer": (("--model", "net.py:make_model", *SCANS, "--feature-layer", "nonsense"), "'nonsense'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_off_is_one_sentence_and_leaves_nothing(cli, place, monkeypatch, what):
    monkeypatch.chdir(place)
    options, words = REFUSED[what]
    before = set(place.iterdir())
    said = init(cli, place, *options)
    assert (said.code, said.out) == (2, "")
    assert words in said.sentence
    assert ".tmp-" not in said.sentence
    assert set(place.iterdir()) == before
    (place / "models" / "kept").mkdir(parents=True)  # a folder that was there stays
    assert init(cli, place, *options).sentence == said.sentence
    assert [*(place / "models").rglob("*")] == [place / "models" / "kept"]


def test_a_place_that_cannot_be_written_is_named(cli, place):
    (place / "models").write_text("a file")
    said = init(cli, place, "--model", place / "wrn10.pt", "--mean", "none", "--dataset", "cifar10")
    assert said.code == 2
    assert "cannot write" in said.sentence
    assert (place / "models").read_text() == "a file"


def test_nothing_is_overwritten(cli, place):
    options = (
        "--model",
        place / "at_he.pt",
        "--dataset",
        "cifar10",
        "--head",
        "linear",
        "--mean",
        "none",
        "--name",
        "mine",
    )
    assert init(cli, place, *options).code == 0
    before = (place / "models" / "cifar10" / "mine" / "card.toml").read_bytes()
    assert "is there already" in init(cli, place, *options).sentence
    assert (place / "models" / "cifar10" / "mine" / "card.toml").read_bytes() == before


def test_the_feature_layer_is_the_cards(cli, place):
    folder = a_function_card(cli, place, "--feature-layer", "2")
    assert read_card(folder).feature_layer == "2"
    assert read_card(folder).identity()["feature_layer"] == "2"
    named = ("eval", "--model", folder, "--eps", "8/255", "--attack", "fn-pgd-20", "--results", place / "r")
    assert cli(*named).code == 0
    other = NetworkSpec(str(folder), place / "w.pt")
    under_test = NetworkUnderTest.of_user(other, "scans")
    assert (under_test.feature_layer, under_test.identity["feature_layer"]) == ("2", "2")
    text = (folder / "card.toml").read_text()
    (folder / "card.toml").write_text(text.replace('feature_layer = "2"', 'feature_layer = "7"'))
    assert "unknown feature layer '7'" in cli(*named).last


def test_a_function_card_with_other_weights_is_the_cards_code_and_layer(cli, place, monkeypatch):
    folder = a_function_card(cli, place, "--feature-layer", "2")
    torch.manual_seed(1)
    torch.save(resolve(NetworkSpec(f"{place / 'net.py'}:make_model")).network.state_dict(), place / "w2.pt")
    (place / "elsewhere").mkdir()
    (place / "elsewhere" / "net.py").write_text("raise SystemExit('not this one')\n")
    monkeypatch.chdir(place / "elsewhere")
    said = init(cli, place, "--model", folder, "--weights", "../w2.pt", "--dataset", "npz:../scans.npz", "--name", "w2")
    assert said.code == 0
    there, card = read_card(folder), read_card(folder.with_name("w2"))
    assert (card.architecture, card.feature_layer) == (there.architecture, "2")
    assert {path.name for path in card.folder.iterdir()} == {path.name for path in folder.iterdir()}
    x = torch.rand(3, 1, 8, 8)
    direct = resolve(NetworkSpec(str(folder), place / "w2.pt")).network
    assert load_card(card)(x).equal(direct(x))
    assert not load_card(card)(x).equal(load_card(there)(x))
    assert "is there already" in init(cli, place, "--model", folder, "--weights", "../w2.pt",
                                      "--dataset", "npz:../scans.npz").sentence  # fmt: skip


def test_what_a_function_imports_is_copied_as_it_lies(cli, place):
    (place / "net.py").write_text(CODE.replace("from beside", "from parts.width"))
    (place / "parts").mkdir()
    (place / "parts" / "__init__.py").touch()
    (place / "parts" / "width.py").write_text("from beside import WIDTH\n")
    (place / "parts" / "unused.py").touch()
    folder = a_function_card(cli, place)
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if "__pycache__" not in path.parts}
    assert found == {
        "card.toml", "weights.safetensors", "net.py", "beside.py", "parts/__init__.py", "parts/width.py"
    }  # fmt: skip


def test_a_function_card_says_which_code_it_was_written_for(cli, place):
    folder = a_function_card(cli, place)
    text = (folder / "card.toml").read_text()
    sha256 = read_card(folder).architecture.args["sha256"]
    (folder / "card.toml").write_text(text.replace(f'sha256 = "{sha256}"\n', ""))
    ours = ("eval", "--model", folder, "--attack", "fgsm", "--eps", "8/255", "--results", place / "r")
    assert f'put sha256 = "{sha256}" into its args' in cli(*ours).sentence
    (folder / "card.toml").write_text(text)
    assert cli(*ours).code == 0


@pytest.mark.parametrize("file", ["../outside.py", "PLACE/outside.py", "link.py"])
def test_naming_a_card_runs_code_of_its_own_folder_only(cli, place, file):
    folder = a_function_card(cli, place)
    (place / "models" / "scans" / "outside.py").write_text(f"open({str(place / 'ran')!r}, 'w')\n")
    (place / "outside.py").write_text(f"open({str(place / 'ran')!r}, 'w')\n")
    (folder / "link.py").symlink_to(place / "outside.py")
    text = (folder / "card.toml").read_text()
    (folder / "card.toml").write_text(text.replace("net.py", file.replace("PLACE", str(place))))
    said = cli("eval", "--model", folder, "--attack", "fgsm", "--eps", "8/255", "--results", place / "r")
    assert f".py' is not below '{folder}'" in said.sentence
    assert not (place / "ran").exists()


def test_points_of_a_card_on_data_of_ones_own_are_judged_again(cli, place, digits):
    network = resolve(NetworkSpec(f"{place / 'net.py'}:make_model", place / "w.pt")).network
    np.savez(place / "scans.npz", x=digits.x[:40].numpy(), y=network(digits.x[:40]).argmax(1).numpy())
    folder = a_function_card(cli, place)
    where = ("--results", place / "r")
    ours = ("eval", "--model", folder, "--attack", "pgd-20", "--eps", "32/255", "--save-adversarial", *where)
    assert cli(*ours).code == 0
    said = cli("verify", "--model", folder, *where)
    assert said.code == 0
    (row,) = (line for line in said.out.splitlines() if "scans/mine@" in line)
    examples, confirmed, faults = row.split()[-3:]
    assert int(examples) == int(confirmed) > 0
    assert faults == "none"
    assert cli(*ours, "--dataset", f"npz:{place / 'nines.npz'}").code == 0
    said = cli("verify", *where)  # also on data that the card does not name
    assert (said.code, said.out.count(" none")) == (0, 2)
    for kept in (place / "r" / "raw").glob("*/examples"):
        shutil.rmtree(kept)
    said = cli("verify", "--model", folder, *where)  # of the data that the card names
    assert (said.code, said.out.count(f" {examples} ")) == (0, 2)


def test_a_card_on_data_of_ones_own_in_the_registry(cli, place, checkout, monkeypatch):
    monkeypatch.chdir(place)
    options = ("--model", "net.py:make_model", "--weights", "w.pt", "--dataset", "npz:scans.npz", "--name", "mine")
    said = cli("card", "init", *options, "--out", checkout / "models")
    assert said.code == 0
    assert "in the registry: `robench eval --model scans/mine --eps EPS`" in said.out
    (checkout / "models" / "scans" / ".tmp-of-another").mkdir()
    (checkout / "models" / "scans" / ".tmp-of-another" / "card.toml").touch()
    assert find_card("scans/mine").name == "scans/mine"
    monkeypatch.chdir(checkout)
    where = ("--results", place / "r")
    assert cli("eval", "--model", "scans/mine", "--attack", "pgd-20", "--eps", "8/255", *where).code == 0
    assert "scans/mine" in cli("list", "models").out
    reported = cli("report", *where)
    assert reported.code == 0
    assert "scans" in reported.out
    (about,) = (line for line in cli("doctor", *where).out.splitlines() if line.startswith("model scans/"))
    assert about.endswith("weights found, checksum holds")


def test_the_folder_that_holds_the_card_may_be_its_data(cli, place, digits, monkeypatch):
    """`folder:.` is called after the folder, wherever its card is read."""
    for at in range(2):
        (place / "images" / str(at)).mkdir(parents=True)
        pixels = (digits.x[digits.y == at][0, 0] * 255).byte().numpy()
        Image.fromarray(pixels).save(place / "images" / str(at) / "one.png")
    monkeypatch.chdir(place / "images")
    (place / "rgb.py").write_text(
        "from torch import nn\n\n\ndef make():\n    return nn.Sequential(nn.Flatten(), nn.Linear(192, 2))\n"
    )
    said = init(cli, place, "--model", "../rgb.py:make", "--dataset", "folder:.", "--name", "mine")
    assert said.code == 0, said.err
    monkeypatch.chdir(place)
    assert read_card(place / "models" / "images" / "mine").label == "images"
