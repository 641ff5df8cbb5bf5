"""The gate for a network from outside: its card, other weights, and what the baseline lends."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from robench.cli import run
from robench.specs import read_card
from robench.store import read_file

CODE = """
from torch import nn


def make_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""
CARD = "models/scans/mine"
GATE = ("check", "--model", CARD, "--attack", "bim-10", "--baseline", "b.jsonl")


def weights(digits, seed):
    """A linear network that knows digits by their class means; another seed blurs the means."""
    means = torch.stack([digits.x[digits.y == label].flatten(1).mean(0) for label in range(10)])
    means += (seed * 0.5) * torch.randn(means.shape, generator=torch.Generator().manual_seed(seed))
    return {"1.weight": means, "1.bias": -means.square().sum(1) / 2}


@pytest.fixture(scope="module")
def _place(tmp_path_factory, digits):
    place = tmp_path_factory.mktemp("place")
    (place / "net.py").write_text(CODE)
    for seed in (0, 1):
        torch.save(weights(digits, seed), place / f"w{seed}.pt")
    np.savez(place / "scans.npz", x=digits.x[:40].numpy(), y=digits.y[:40].numpy())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.delenv("GITHUB_ACTIONS", raising=False)
        card = "card init --model net.py:make_model --weights w0.pt --dataset npz:scans.npz --name mine"
        assert run([*card.split(), "--eps", "0.1"]) == 0
        assert run([*GATE, "--update"]) == 0
    return place


@pytest.fixture
def place(_place, tmp_path, monkeypatch):
    """The working folder: code, two files of weights, data, a card with eps and its baseline."""
    shutil.copytree(_place, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def without_eps(place):
    path = place / CARD / "card.toml"
    path.write_text(path.read_text().replace('norm = "linf"\neps = "0.1"\n', ""))


def test_the_card_carries_norm_and_eps(cli, place):
    said = cli(*GATE)
    assert said.code == 0
    assert "scans/mine: linf 0.1, 40 examples, seed 0; the same network as the baseline's." in said.out
    assert "linf 0.1, 40 examples" in cli("eval", *GATE[1:5], "--results", place / "r").out
    path = place / CARD / "card.toml"
    path.write_text(path.read_text().replace('eps = "0.1"', 'eps = "8"'))
    assert f"card '{path}', key 'eps': eps '8' is too large for linf" in cli(*GATE).sentence


def test_a_card_without_eps_takes_that_of_the_baseline(cli, place):
    without_eps(place)
    assert "linf 0.1 (the baseline's), 40 examples" in cli(*GATE).out
    assert "'scans' has no default eps: give one with --eps" in cli(*GATE[:-1], "other.jsonl").sentence
    l2 = (*GATE[:-1], "l2.jsonl", "--norm", "l2")
    assert cli(*l2, "--eps", "0.5", "--update").code == 0
    assert "l2 0.5 (the baseline's)" in cli(*l2).out
    assert "l2 0.5 (the baseline's)" in cli(*l2[:-2]).out
    assert "threat.eps is 0.5 there and 0.3 here: add --eps 0.5" in cli(*l2, "--eps", "0.3").sentence


def test_the_baseline_decides_how_many_examples_are_evaluated(cli, place):
    few = (*GATE[:-1], "few.jsonl")
    said = cli(*few, "--limit", 20, "--update")
    assert "Of 20 examples, 6 or more must be lost to fail (30.0 points)." in said.out
    said = cli(*few)
    assert "20 of 40 examples" in said.out
    assert said.out.startswith(
        "passed: none of 2 cells of 1 defense regressed (2 same); of 20 examples, 6 or more must"
    )
    assert "data.n is 20 there and 30 here: add --limit 20" in cli(*few, "--limit", 30).sentence


def test_other_weights_are_judged_as_the_card_would_have_them(cli, place):
    junit = place / "robench.xml"
    said = cli(*GATE, "--weights", "w1.pt", "--junit", junit)
    assert said.code == 1
    assert "FAILED" in said.out
    assert "weights of 'w1.pt', not the card's: another network than the baseline's" in said.out
    assert "--weights w1.pt`" in said.out
    assert "--weights w1.pt" in junit.read_text()
    assert "the same network as the baseline's" in cli(*GATE, "--weights", "w0.pt").out
    assert cli(*GATE, "--weights", "w1.pt", "--update").code == 0
    (record,) = read_file(place / "b.jsonl")
    assert record.header.remark == "weights of w1.pt"
    assert cli("card", "init", "--model", CARD, "--weights", "w1.pt", "--force").code == 0
    assert record.header.model == read_card(place / CARD).name
    assert "the same network as the baseline's" in cli(*GATE).out


def test_weights_that_are_not_the_cards_are_named_with_a_mend(cli, place):
    own = place / CARD / "weights.safetensors"
    shutil.copy("w1.pt", own)
    said = cli(*GATE)
    assert said.code == 2
    mend = f"card init --model {place / CARD} --weights {own} --force"
    assert "its card says" in said.sentence
    assert f"if these weights are meant run `robench {mend}`" in said.sentence
    own.unlink()
    assert f"put them back as '{own}', or name others with --weights FILE" in cli(*GATE).sentence
    assert "the same network as the baseline's" in cli(*GATE, "--weights", "w0.pt").out
    save_file(torch.load("w1.pt"), own)
    assert cli(*mend.split()).code == 0
    assert cli(*GATE).code == 1


def test_a_target_is_part_of_the_baseline(cli, place):
    aimed = (*GATE[:-1], "t.jsonl", "--target", 3)
    assert cli(*aimed, "--update").code == 0
    left = 40 - int((np.load("scans.npz")["y"] == 3).sum())
    assert f"linf 0.1, target 3, {left} of 40 examples" in cli(*aimed).out
    assert "target is 3 there and absent here: add --target 3, or" in cli(*aimed[:-2]).sentence
    assert "target is absent there and 3 here: leave --target out, or" in cli(*GATE, "--target", 3).sentence
    said = cli(*aimed, "--weights", "w1.pt", "--max-drop", 0, "--alpha", 0.9)
    assert said.code == 1
    assert "--weights w1.pt --target 3`" in said.out


def test_data_elsewhere_and_other_data(cli, place):
    (place / "else").mkdir()
    shutil.move("scans.npz", "else/scans.npz")
    assert "key 'dataset': --dataset npz:" in cli(*GATE).sentence
    assert cli(*GATE, "--dataset", "npz:else/scans.npz").code == 0
    there = np.load("else/scans.npz")
    np.savez("scans.npz", x=there["x"][::-1], y=there["y"][::-1])
    said = cli(*GATE)
    assert said.code == 3
    assert "data.sha256 is" in said.sentence
    assert (
        "evaluate the same images, with the same --resize, --crop and --classes where they were given" in said.sentence
    )


def test_an_attack_that_the_baseline_lacks_has_two_mends(cli, place):
    said = cli(*GATE, "--attack", "fgsm")
    assert said.code == 3
    assert "it lacks fgsm: ask only for what it has, --attack bim-10, or make a new baseline" in said.sentence


REFUSED = {
    "no card": (("--model", "net.py:make_model"), "has no card, and the gate takes cards"),
    "a program": (("--model", "onnx:net.onnx"), "has no card, and the gate takes cards"),
    "weights for two": (("--model", CARD, "--model", "pgdat", "--weights", "w0.pt"), "--weights w0.pt is for one card"),
    "a key alone": (("--model", CARD, "--key", "ema"), "--key ema is for a checkpoint"),
    "no baseline": (("--model", "pgdat", "--weights", "w0.pt", "--update"), "name the file of its baseline"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_off_is_one_sentence(cli, place, what):
    options, words = REFUSED[what]
    said = cli("check", *options, "--attack", "pgd-20", *(() if "--update" in options else ("--baseline", "b.jsonl")))
    assert said.code == 2
    assert words in said.sentence


def test_without_a_baseline_the_mend_names_one(cli, place):
    said = cli("check", "--model", CARD, "--attack", "pgd-20")
    assert said.code == 3
    assert "make one with --baseline robustness.jsonl --update" in said.sentence


# ---- card init --force ----


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}


INIT = ("card", "init", "--model", "net.py:make_model", "--dataset", "npz:scans.npz", "--name", "mine")


def test_force_replaces_the_card_and_keeps_other_files(cli, place):
    assert "replace its card and weights with --force, or choose another --name" in cli(*INIT).sentence
    (place / CARD / "notes" / "a").mkdir(parents=True)
    (place / CARD / "notes" / "a" / "n.txt").write_text("mine")
    (place / CARD / "link.txt").symlink_to("notes/a/n.txt")
    before = contents(place / CARD)
    assert cli(*INIT, "--weights", "w1.pt", "--force").code == 0
    after = contents(place / CARD)
    assert after.keys() == before.keys()
    assert {name for name in after if after[name] != before[name]} == {"card.toml", "weights.safetensors"}
    assert (place / CARD / "link.txt").is_symlink()
    assert read_card(place / CARD).threat is None
    assert [each.name for each in (place / CARD).parent.iterdir()] == ["mine"]


def test_other_weights_keep_what_the_card_says(cli, place):
    before = (place / CARD / "card.toml").read_text()
    assert cli("card", "init", "--model", CARD, "--weights", "w1.pt", "--force").code == 0
    after = (place / CARD / "card.toml").read_text()
    assert [line for line in after.splitlines() if line not in before] == [
        f'sha256 = "{read_card(place / CARD).sha256}"'
    ]
    assert cli("card", "init", "--model", CARD, "--weights", "w1.pt", "--norm", "l2", "--eps", 0.5, "--force").code == 0
    assert str(read_card(place / CARD).threat) == "l2 0.5"


@pytest.mark.parametrize("fault", ["weights", "move", "no card"])
def test_a_replacement_that_fails_leaves_everything_as_it_was(cli, place, monkeypatch, fault):
    torch.save(nn.Linear(3, 3).state_dict(), "odd.pt")
    file, words = ("odd.pt", "do not fit") if fault == "weights" else ("w1.pt", "cannot write")
    if fault == "no card":
        (place / CARD / "card.toml").unlink()
        words = "has no card.toml, so --force does not replace it"
    before, beside = contents(place / CARD), set((place / CARD).parent.iterdir())
    if fault == "move":
        real = type(place).rename

        def rename(path, target):
            if path.name.startswith(".tmp-"):
                raise OSError("the disk is gone")
            return real(path, target)

        monkeypatch.setattr(type(place), "rename", rename)
    said = cli(*INIT, "--weights", file, "--force")
    assert said.code == 2
    assert words in said.sentence
    assert contents(place / CARD) == before
    assert set((place / CARD).parent.iterdir()) == beside
