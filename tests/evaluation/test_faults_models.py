"""Networks and data that cannot be evaluated: one clear sentence, the right exit code, nothing lost.

The numbers are those of the list of faults.
"""

import hashlib
import re
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import robench
from robench.data.split import Split
from robench.errors import InputError
from tests.support.cards import copy_card
from tests.support.toys import Toy, X, Y, evaluate, refusal, refused


def test_the_toy_itself_is_fit():
    verdict = evaluate()["pgd-20"]
    assert verdict.clean_accuracy == 100
    assert 0 < verdict.robust_accuracy < 100


# ---- 2: weights ----


def weights_of(card, data):
    """Put other bytes in the place of a card's weights and give them the right checksum."""
    (card.parent / "weights.safetensors").write_bytes(data)
    text = re.sub(r'sha256 = "\w*"', f'sha256 = "{hashlib.sha256(data).hexdigest()}"', card.read_text())
    card.write_text(text)


BROKEN_WEIGHTS = {
    "an HTML page": (lambda whole: b"\n<!DOCTYPE html><html>404</html>", "HTML page"),
    "cut in half": (lambda whole: whole[: len(whole) // 2], "cannot be read"),
    "cut in the header": (lambda whole: whole[:5], "cannot be read"),
    "empty": (lambda whole: b"", "cannot be read"),
}


@pytest.mark.parametrize("what", BROKEN_WEIGHTS)
def test_broken_weights_are_named(cli, tmp_path, what):
    card = copy_card(tmp_path / "mine")
    change, words = BROKEN_WEIGHTS[what]
    weights_of(card, change((card.parent / "weights.safetensors").read_bytes()))
    refused(cli, card, "weights.safetensors", words, "fetch or train it again")


def test_a_wrong_checksum_names_both(cli, tmp_path):
    card = copy_card(tmp_path / "mine")
    weights = card.parent / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    actual = hashlib.sha256(weights.read_bytes()).hexdigest()
    refused(cli, card, str(weights), actual[:12], "its card says", "restore the file")


def test_weights_of_another_shape_name_the_first_three_keys(cli, tmp_path):
    card = copy_card(tmp_path / "mine", ("channels = [32, 64, 64, 128]", "channels = [16, 16, 16, 16]"))
    refused(cli, card, "do not fit", "of another shape", "backbone.body.0.weight is 32x1x3x3, not 16x1x3x3, ", "...")


def test_weights_of_another_head_name_the_keys(cli, tmp_path):
    card = copy_card(tmp_path / "mine", ('kind = "he"', 'kind = "linear"'), model="pgdat_he")
    refused(cli, card, "do not fit", "1 missing (head.bias)")


def test_missing_weights_name_a_command_that_works(cli, tmp_path):
    card = copy_card(
        tmp_path / "mine", ("epochs = 30", "epochs = 1"), ("[32, 64, 64, 128]", "[4, 4, 4, 8]"), model="standard"
    )
    (card.parent / "weights.safetensors").unlink()
    said = cli("eval", "--model", card, "--attack", "fgsm", "--limit", 5, "--results", tmp_path)
    assert said.code == 2
    mend = re.search("`robench (.*?)`", said.sentence)[1].split()
    assert cli(*mend, "--out", tmp_path / "trained").code == 0


# ---- 3: logits ----


def ruin(rows, value):
    def answer(logits, x):
        logits = logits.clone()
        logits[rows] = value
        return logits

    return answer


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_logits_name_the_examples(value):
    text = refusal(Toy(ruin([2, 5], value)))
    assert "NaN or infinite logits" in text
    assert "2 clean examples (ids [2, 5])" in text


class Later(Toy):
    """Sound for some calls, then NaN."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def forward(self, x):
        self.calls -= 1
        return super().forward(x) * (1 if self.calls >= 0 else float("nan"))


def test_non_finite_logits_on_the_way_name_the_examples_and_the_step():
    text = refusal(Later(7))
    assert "NaN or infinite logits" in text
    assert "ids [" in text
    assert re.search(r"step \d+", text)


SHAPES = {
    "no classes": (lambda logits, x: logits[:, 0], r"(12,)"),
    "too few rows": (lambda logits, x: logits[:5], r"(5, 4)"),
    "one class": (lambda logits, x: logits[:, :1], r"(12, 1)"),
    "three axes": (lambda logits, x: logits[:, None], r"(12, 1, 4)"),
    "a tuple": (lambda logits, x: (1, logits), "tuple"),
    "a dictionary": (lambda logits, x: {"scores": logits}, "dict"),
}


@pytest.mark.parametrize("what", SHAPES)
def test_logits_of_another_shape_are_named(what):
    answer, words = SHAPES[what]
    text = refusal(Toy(answer))
    assert words in text
    assert "expected" in text


# ---- 4: networks that change their mind ----


def test_train_mode_is_named_with_its_mend():
    text = refusal(Toy().train())
    assert "training mode" in text
    assert "model.eval()" in text


def test_train_mode_of_a_part_is_found():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 4)).eval()
    model[1].train()
    assert "training mode" in refusal(model)


def test_a_network_that_rolls_dice_is_named_with_its_mend():
    text = refusal(Toy(lambda logits, x: logits + torch.rand_like(logits)))
    assert "differently twice on the same input" in text
    assert "switch its randomness off" in text


def test_the_network_comes_back_as_it_was_after_a_refusal():
    model = Toy(ruin([0], float("nan")))
    refusal(model)
    assert model.weight.requires_grad
    assert not model.training


# ---- 5: networks without gradients ----

GRADIENTLESS = {
    "detached": lambda logits, x: logits.detach(),
    "a leaf of its own": lambda logits, x: logits.detach() + torch.zeros(1, requires_grad=True),
}


@pytest.mark.parametrize("what", GRADIENTLESS)
def test_a_network_without_gradient_is_named_with_its_mend(what):
    text = refusal(Toy(GRADIENTLESS[what]))
    assert "no gradient" in text
    assert "detach" in text


class NoGrad(Toy):
    @torch.no_grad()
    def forward(self, x):
        return super().forward(x)


def test_a_network_under_no_grad_is_named():
    assert "no gradient" in refusal(NoGrad())


# ---- 6: inputs and labels ----

IMAGES = {
    "below 0": (X * 2 - 1, ["[-", "[0, 1]", "take Normalize out", "mean and std"]),
    "0-255 floats": (X * 255, ["[0, 1]", "divide by 255"]),
    "0-255 integers": ((X * 255).byte(), ["uint8", "divide by 255"]),
    "slightly above 1": (X + 0.01, ["[0, 1]"]),
    "NaN": (X.index_fill(0, torch.tensor([3, 5]), torch.nan), ["NaN", "2 examples", "3"]),
    "infinite": (X.index_fill(0, torch.tensor([3]), torch.inf), ["infinite", "3"]),
    "flat": (X.flatten(1), ["(12, 16)", "(N, C, H, W)"]),
    "one image": (X[0], ["(1, 4, 4)", "(N, C, H, W)"]),
    "booleans": (X > 0.5, ["bool", "floats"]),
    "empty": (X[:0], ["no examples"]),
    "without channels": (X[:, :0], ["(12, 0, 4, 4)"]),
    "objects": (np.array([None] * 12, dtype=object), ["images"]),
    "ragged": ([[1.0, 2.0], [3.0]], ["images"]),
    "text": ("digits", ["images"]),
    "nothing": (None, ["images"]),
}


@pytest.mark.parametrize("what", IMAGES)
def test_unfit_images_are_named(what):
    x, words = IMAGES[what]
    with pytest.raises(InputError) as caught:
        Split.checked("mine", x, Y[:0] if what == "empty" else Y)
    for word in ("mine", *words):
        assert word in str(caught.value)


LABELS = {
    "fractions": (Y + 0.5, [".5 is ", "no whole number"]),
    "probabilities": (torch.eye(4)[Y] * 0.9 + 0.025, ["(12, 4)", "row 0 is not one-hot"]),
    "several": (torch.eye(4, dtype=torch.int64)[Y].cumsum(1), ["(12, 4)", "is not one-hot"]),
    "booleans": (Y > 1, ["bool", "integers"]),
    "too few": (Y[:5], ["12 images", "5 labels"]),
    "too many": (torch.cat([Y, Y]), ["12 images", "24 labels"]),
    "negative": (Y - 9, ["negative"]),
    "names": (np.array(["a"] * 12), ["labels"]),
    "nothing": (None, ["labels"]),
}


@pytest.mark.parametrize("what", LABELS)
def test_unfit_labels_are_named(what):
    y, words = LABELS[what]
    with pytest.raises(InputError) as caught:
        Split.checked("mine", X, y)
    for word in ("mine", *words):
        assert word in str(caught.value)


@pytest.mark.parametrize("kind", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_labels_of_every_integer_kind_are_fit(kind):
    assert Split.checked("mine", X, Y.numpy().astype(kind)).y.tolist() == Y.tolist()


IDS = {
    "too few": [1, 2, 3],
    "twice the same": [1] * 12,
    "negative": list(range(-12, 0)),
    "fractions": [i + 0.5 for i in range(12)],
    "names": ["a"] * 12,
}


@pytest.mark.parametrize("what", IDS)
def test_unfit_ids_are_named(what):
    assert "ids" in refusal(ids=IDS[what])


def test_labels_beyond_the_network_are_named():
    text = refusal(y=Y + 10)
    assert f"label {int(Y.max()) + 10}" in text
    assert "4 classes" in text


@pytest.mark.parametrize("shape", [(12, 3, 4, 4), (12, 1, 5, 5)], ids=["channels", "size"])
def test_images_that_the_network_cannot_take_name_their_shape(shape):
    assert ", ".join(map(str, shape[1:])) in refusal(x=torch.rand(shape))


def test_a_network_in_another_precision_is_named():
    assert re.search("float64|double", refusal(Toy().double()).lower())


def test_a_set_without_a_correct_example_still_has_accuracies():
    with pytest.warns(UserWarning, match="no better than guessing"):
        verdict = evaluate(y=(Y + 1) % 4)["pgd-20"]
    assert (verdict.clean_accuracy, verdict.robust_accuracy) == (0, 0)
    assert verdict.as_dict()["forwards"] == 0


def test_what_is_no_network_is_named():
    nothing: list[Any] = ["a name", Toy, None]
    for model in nothing:
        with pytest.raises(InputError, match=r"torch\.nn\.Module or a callable"):
            robench.evaluate(model, X, Y, eps=0.1)
