"""A broken setup is no defense: guessing, one class for everything, renamed classes, less than is published."""

import numpy as np
import pytest
import torch
from scipy.stats import binomtest
from torch import nn

import robench
from robench.evaluation.setup import ALPHA, FEW, setup_faults
from tests.support.gates import damaged

N = 60


class Renamed(nn.Module):
    """A trained defense whose classes have other numbers."""

    def __init__(self, order):
        super().__init__()
        self.inner, self.order = robench.load_model("pgdat"), order
        self.eval()

    def forward(self, x):
        return self.inner(x)[:, self.order]


def evaluate(network, digits, n=N):
    few = digits.limit(n)
    with pytest.warns(UserWarning, match="the worst case is broken"):
        return robench.evaluate(network, few.x, few.y, eps=0.05, attacks=["fgsm"], device="cpu")


def random_weights(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)).eval()


@pytest.mark.parametrize("seed", range(3))
def test_random_weights_are_broken(seed, digits):
    trust = evaluate(random_weights(seed), digits).worst_case.trust
    assert trust.level == "broken"
    assert "no better than guessing" in trust.sentence()


def test_nothing_right_is_never_trusted(digits):
    network = Renamed([1, 2, 3, 4, 5, 6, 7, 8, 9, 0])
    for n in (1, 5, N):
        found = evaluate(network, digits, n)
        assert found.worst_case.robust_accuracy == 0.0
        assert found.worst_case.trust.level == found["fgsm"].trust.level == "broken"
        assert "Run next" not in found.worst_case.trust.sentence()


@pytest.mark.parametrize("order", [[1, 0, 2, 3, 4, 5, 6, 7, 8, 9], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]])
def test_renamed_classes_are_named(order, digits):
    found = evaluate(Renamed(order), digits)
    assert "number the classes differently" in found.worst_case.trust.sentence()


def test_one_class_for_everything_is_named(digits):
    last = nn.Linear(64, 10)
    with torch.no_grad():
        last.weight.zero_()
    network = nn.Sequential(nn.Flatten(), last).eval()
    assert "one class for every image" in evaluate(network, digits).worst_case.trust.sentence()


@pytest.mark.parametrize(("noise", "broken"), [(0.0, False), (1.5, True)])
def test_the_card_says_what_is_published(cli, tmp_path, noise, broken):
    """99.3% clean with the defense's own weights; with noise in the weights far less."""
    card = damaged(tmp_path / "mine", noise) / "card.toml"
    card.write_text(f"clean_accuracy = 99.3\n{card.read_text()}")
    said = cli("eval", "--model", card, "--attack", "fgsm", "--limit", N, "--results", tmp_path)
    assert ("below the published clean accuracy" in said.out) == broken


def test_less_than_published_is_broken():
    labels = np.arange(200) % 10
    predicted = np.where(np.arange(200) < 160, labels, (labels + 1 + np.arange(200) % 7) % 10)
    (high,) = (100 * binomtest(160, 200).proportion_ci(method="wilson").high,)
    found = setup_faults(labels, predicted, 10, published=95.0)
    assert found["below-published"] == pytest.approx(95.0 - high, abs=1e-5)
    assert setup_faults(labels, predicted, 10, published=80.0) == {}


def test_sound_defenses_raise_nothing(digits):
    few = digits.limit(200)
    for name in ("standard", "pgdat", "trades_mhe"):
        with torch.no_grad():
            predicted = robench.load_model(name)(few.x[:]).argmax(1)
        assert setup_faults(few.y.numpy(), predicted.numpy(), 10) == {}


@pytest.mark.parametrize("classes", [2, 3, 10, 100])
@pytest.mark.parametrize("n", [FEW, 60, 500])
def test_guessing_is_judged_by_the_exact_binomial_test(classes, n):
    labels = np.arange(n) % classes
    for right in range(n + 1):
        predicted = np.where(np.arange(n) < right, labels, (labels + 1) % classes)
        expected = binomtest(right, n, 1 / classes, alternative="greater").pvalue > ALPHA or right * classes <= n
        assert ("at-chance" in setup_faults(labels, predicted, classes)) == expected


def test_few_images_are_no_proof():
    labels = np.arange(2)
    assert setup_faults(labels, labels, 10) == {}
    assert setup_faults(labels, labels + 1, 10) == {"at-chance": 1.0}


def test_images_of_one_class_say_nothing_about_the_order_of_classes():
    labels = np.ones(40, dtype=np.int64)
    assert setup_faults(labels, np.arange(40) % 2, 2) == {}


def test_one_class_for_data_of_one_class_is_no_finding():
    labels = np.where(np.arange(20) == 0, 0, 1)
    assert "one-class" not in setup_faults(labels, np.ones(20, dtype=np.int64), 10)


def test_noise_is_no_renaming():
    """Of 300 networks that guess, at most the share ALPHA seems renamed (99.9% quantile of the binomial)."""
    draws = np.random.default_rng(0)
    found = 0
    for _ in range(300):
        labels, predicted = draws.integers(0, 10, (2, 200))
        found += "permuted-labels" in setup_faults(labels, predicted, 10)
    assert binomtest(found, 300, ALPHA, alternative="greater").pvalue > 1e-3
