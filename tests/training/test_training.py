"""Training: what is minimised, resuming, seeds."""

import shutil

import pytest
import torch

from robench.classifiers import load_card, make_classifier
from robench.errors import InputError
from robench.numerics.losses import he_cross_entropy
from robench.specs import find_card, read_card
from robench.training import train
from robench.training.frameworks import make_framework
from robench.training.net import Net
from robench.training.perturb import Perturber
from tests.support.marks import slow
from tests.support.trained import declare

CPU = torch.device("cpu")


def short_card(tmp_path, name="pgdat_he", epochs=3, **changes):
    """A registered recipe, cut short."""
    folder = tmp_path / "cards" / name
    shutil.copytree(find_card(name).folder, folder)
    text = (folder / "card.toml").read_text()
    for key, value in {"epochs": epochs, **changes}.items():
        lines = [f"{key} = {value}" if line.startswith(f"{key} = ") else line for line in text.splitlines()]
        text = "\n".join(lines) + "\n"
    (folder / "card.toml").write_text(text)
    return read_card(folder)


class Interrupted(Exception):
    pass


ATTACKED = {"recipe.framework": "pgd_at", "head": {"kind": "he", "scale": 15.0, "margin": 0.2}}


@pytest.mark.parametrize(
    ("make", "epochs"),
    [
        pytest.param(lambda folder: declare(folder, ATTACKED), 2, id="tiny"),
        slow(lambda folder: short_card(folder, epochs=3, steps=10), 3, id="registered"),
    ],
)
def test_interrupted_training_ends_with_the_same_weights(tmp_path, make, epochs):
    card = make(tmp_path / "card")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    train(card, whole, CPU, lambda _: None)

    def stop(epoch):
        if epoch.epoch == epochs - 1:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(card, broken, CPU, stop)
    assert (broken / "checkpoint.pt").is_file()
    seen = []
    train(card, broken, CPU, lambda epoch: seen.append(epoch.epoch))
    assert seen == list(range(1, epochs + 1))
    assert not (broken / "checkpoint.pt").exists()
    assert (whole / "weights.safetensors").read_bytes() == (broken / "weights.safetensors").read_bytes()


def test_result_is_a_card_that_loads_and_keeps_its_comments(tmp_path):
    card = short_card(tmp_path, "standard", epochs=2)
    path = card.folder / "card.toml"
    path.write_text("# a comment\n" + path.read_text())
    trained = read_card(train(read_card(path), tmp_path / "out", CPU, lambda _: None))
    assert trained.sha256 != card.sha256
    assert "# a comment" in (tmp_path / "out" / "card.toml").read_text()
    assert load_card(trained).training is False
    assert len((tmp_path / "out" / "log.csv").read_text().splitlines()) == 3


def test_another_seed_gives_other_weights(tmp_path):
    a = train(short_card(tmp_path / "a", "standard", epochs=1), tmp_path / "oa", CPU, lambda _: None)
    b = train(short_card(tmp_path / "b", "standard", epochs=1, seed=1), tmp_path / "ob", CPU, lambda _: None)
    assert read_card(a).sha256 != read_card(b).sha256


def test_checkpoint_of_another_recipe_is_refused(tmp_path):
    def stop(_):
        raise Interrupted

    with pytest.raises(Interrupted):
        train(short_card(tmp_path / "a", "standard"), tmp_path / "out", CPU, stop)
    with pytest.raises(InputError, match="belongs to another recipe"):
        train(short_card(tmp_path / "b", "standard", lr=0.05), tmp_path / "out", CPU, stop)


def test_diverging_loss_stops_with_one_sentence(tmp_path):
    card = short_card(tmp_path, "standard", lr=1e12)
    with pytest.raises(InputError, match=r"the loss is .* lower recipe\.lr"):
        train(card, tmp_path / "out", CPU, lambda _: None)


@pytest.mark.parametrize("name", ["pgdat", "pgdat_he"])
def test_pgd_at_objectives_follow_table_1(name, digits):
    """Margin in the training objective only; the attack ascends the scaled loss without it."""
    card = find_card(name)
    model = make_classifier(card).train()
    x, y = digits.x[:16], digits.y[:16]
    s, m = (15.0, 0.2) if name == "pgdat_he" else (1.0, 0.0)
    net = Net(model, model, "fp32", CPU)
    perturb = Perturber.of(card.recipe, torch.Generator().manual_seed(0))
    (loss,) = make_framework("pgd_at").losses(net, x, y, perturb)
    seen = Perturber.of(card.recipe, torch.Generator().manual_seed(0))
    points = seen(net, x, lambda logits: torch.nn.functional.cross_entropy(s * logits, y, reduction="none"))
    assert (points - x).abs().max() <= 0.2 + 1e-6
    expected = he_cross_entropy(model(points), y, s, m).mean()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
    assert model.training
