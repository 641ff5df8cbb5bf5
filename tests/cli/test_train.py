"""`robench train`: which cards, what it writes, how it fails."""

import json

import pytest

from robench.cli.train import _names
from robench.paths import data_root
from tests.support.cards import copy_card


def test_all_chooses_every_card_of_a_dataset():
    for dataset in ("digits", "cifar10", "imagenet"):
        folders = (data_root() / "models" / dataset).glob("*/card.toml")
        assert sorted(_names(None, True, dataset)) == sorted(f"{dataset}/{path.parent.name}" for path in folders)
    assert len(_names(None, True, "digits")) == 19
    assert set(_names(None, True, None)) > set(_names(None, True, "digits"))
    assert _names(["pgdat", "alp"], False, None) == ["pgdat", "alp"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --model NAME, or --all"),
        (["--model", "pgdat", "--all"], "give --model NAME, or --all"),
        (["--dataset", "digits"], "give --model NAME, or --all"),
        (["--model", "pgdat", "--dataset", "digits"], "--dataset goes with --all"),
        (["--all", "--dataset", "digit"], "did you mean digits"),
    ],
)
def test_wrong_choice_of_cards_is_one_sentence(cli, tmp_path, arguments, words):
    said = cli("train", *arguments, "--out", tmp_path / "out")
    assert said.code == 2
    assert words in said.sentence
    assert not (tmp_path / "out").exists()


ONE_EPOCH = [("epochs = 30", "epochs = 1")]


def test_a_trained_card_can_be_evaluated(cli, tmp_path):
    card = copy_card(tmp_path / "mine", *ONE_EPOCH, model="standard")
    said = cli("train", "--model", card, "--out", tmp_path / "trained")
    assert said.code == 0
    made = tmp_path / "trained" / "digits" / "mine" / "card.toml"
    assert f"robench eval --model {made}" in said.out
    assert "epoch   1/1" in said.err
    said = cli("eval", "--model", made, "--attack", "fgsm", "--limit", 20, "--results", tmp_path, "--json", "-")
    assert json.loads(said.out)["results"][0]["model"].startswith("digits/mine")


def test_training_twice_gives_the_same_weights(cli, tmp_path):
    card = copy_card(tmp_path / "mine", *ONE_EPOCH, model="standard")
    weights = []
    for out in (tmp_path / "a", tmp_path / "b"):
        assert cli("train", "--model", card, "--out", out).code == 0
        weights.append((out / "digits" / "mine" / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_loss_that_explodes_names_the_mend(cli, tmp_path):
    card = copy_card(tmp_path / "mine", *ONE_EPOCH, ("lr = 0.1", "lr = 1e9"), model="standard")
    said = cli("train", "--model", card, "--out", tmp_path / "trained")
    assert said.code == 2
    assert "recipe.lr" in said.last


def test_train_into_a_file_names_its_own_option(cli, tmp_path):
    (tmp_path / "file").touch()
    said = cli("train", "--model", "pgdat", "--out", tmp_path / "file")
    assert said.code == 2
    assert str(tmp_path / "file") in said.sentence
    assert "--out" in said.sentence
