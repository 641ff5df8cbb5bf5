"""Variants of a card, trained once."""

import pytest

from robench.classifiers import load_card
from robench.errors import InputError
from robench.specs import read_card
from robench.training.variants import variant
from tests.support.networks import CPU
from tests.support.trained import declare


class Halted(Exception):
    pass


def test_variant_trains_once_and_again_when_it_differs(tmp_path):
    base, folder, heard = declare(tmp_path / "base", {"sha256": "f" * 64}), tmp_path / "variant", []

    def make(**changes):
        heard.clear()
        wanted = {f"recipe.{key}": value for key, value in changes.items()}
        return variant(base, folder, {**wanted, "head.kind": "he", "head.scale": 10.0}, CPU, heard.append)

    first = make(epochs=3)
    assert [epoch.epoch for epoch in heard] == [1, 2, 3]
    assert (first.recipe.epochs, first.head.kind, first.head.scale) == (3, "he", 10.0)
    assert load_card(first).constants.scale == 10
    before = (first.weights.read_bytes(), first.weights.stat().st_mtime_ns)
    again = make(epochs=3)
    assert not heard
    assert (again.sha256, again.weights.stat().st_mtime_ns) == (first.sha256, before[1])
    other = make(epochs=1)
    assert [epoch.epoch for epoch in heard] == [1]
    assert other.sha256 != first.sha256
    assert read_card(folder) == other
    other.weights.unlink()
    make(epochs=1)
    assert len(heard) == 1, "lost weights are made again"
    assert read_card(tmp_path / "base") == base


def test_interrupted_variant_does_not_stand_in_the_way_of_another(tmp_path):
    def halt(_):
        raise Halted

    base, folder, heard = declare(tmp_path / "base"), tmp_path / "variant", []
    with pytest.raises(Halted):
        variant(base, folder, {"recipe.epochs": 3}, CPU, halt)
    assert variant(base, folder, {"recipe.epochs": 3}, CPU, heard.append).recipe.epochs == 3
    assert len(heard) == 3
    with pytest.raises(Halted):
        variant(base, folder, {"recipe.epochs": 2}, CPU, halt)
    assert variant(base, folder, {"recipe.epochs": 1}, CPU).recipe.epochs == 1


def test_malformed_variant_is_refused_with_its_change(tmp_path):
    with pytest.raises(InputError, match=r"recipe\.stepz"):
        variant(declare(tmp_path / "base"), tmp_path / "variant", {"recipe.stepz": 3}, CPU)
    assert not (tmp_path / "variant").exists()
