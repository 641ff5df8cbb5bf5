"""The whole catalogue: what is declared must bind, load and hold. Adding an entry needs no edit here."""

import pytest
import torch

from robench.algorithms import bind, list_algorithms
from robench.classifiers import load_card, make_classifier
from robench.data import DATASETS
from robench.errors import InputError
from robench.specs import (
    EMBEDDED,
    battery_attacks,
    find_attack,
    find_battery,
    find_card,
    list_attacks,
    list_batteries,
    list_models,
)
from robench.training.frameworks import list_frameworks, make_framework

LARGEST_WEIGHTS = {"digits": 1_000_000, "cifar10-jpeg": 3_000_000}


@pytest.mark.parametrize("name", list_attacks())
def test_attack_binds_to_its_algorithm(name):
    spec = find_attack(name)
    algorithm = bind(spec)
    assert spec.algorithm in list_algorithms()
    assert spec.access == algorithm.access
    assert spec.about
    assert spec.cite


@pytest.mark.parametrize("name", list_batteries())
def test_battery_names_known_attacks(name):
    specs = battery_attacks(name)
    assert specs or find_battery(name).corruptions != "none"
    assert len({spec.name for spec in specs}) == len(specs)


def test_every_attack_is_in_the_full_battery():
    others = {"autoattack-rand"}  # for random networks
    alone = {name for name in list_attacks() if find_attack(name).access != "transfer"} - others
    assert {spec.name for spec in battery_attacks("full")} == alone


@pytest.mark.parametrize("name", list_models())
def test_card_builds_loads_and_says_how_to_retrain(name):
    card = find_card(name)
    dataset = DATASETS[card.dataset]
    assert card.name == name
    assert card.about
    assert make_framework(card.recipe.framework, card.recipe.args)
    where = "cpu" if card.sha256 else "meta"  # without weights only shapes are computed
    with torch.device(where), torch.no_grad():
        model = load_card(card) if card.sha256 else make_classifier(card).eval()
        assert model(torch.rand(2, *dataset.shape)).shape == (2, dataset.classes)
    if card.sha256:
        assert card.weights.stat().st_size < LARGEST_WEIGHTS[card.dataset]
        assert card.tried


@pytest.mark.parametrize("name", list_frameworks())
def test_framework_is_documented(name):
    assert type(make_framework(name)).__doc__


@pytest.mark.parametrize("name", list(DATASETS))
def test_dataset_keeps_its_promises(name, tmp_path):
    dataset = DATASETS[name]
    for part in ("train", "test"):
        try:
            split = dataset.load(part, tmp_path)
        except InputError as error:  # it must be fetched first, and says where to
            assert name != EMBEDDED
            assert f"'{tmp_path}'" in str(error)
            assert "--data-dir" in str(error)
            continue
        assert tuple(split.x.shape[1:]) == dataset.shape
        assert int(split.y.max()) + 1 == dataset.classes
        assert len(set(split.ids.tolist())) == len(split)
