"""Tiny trainings on digits: a changed card, a run, its weights."""

from typing import Any

import pytest
import tomlkit
from safetensors.torch import load_file

from robench.errors import InputError
from robench.paths import data_root
from robench.specs import read_card
from robench.training import train
from tests.support.networks import CPU

TINY = {
    "sha256": "", "architecture.args": {"channels": [4, 8], "strides": [2, 2], "features": 16},
    "recipe.framework": "standard", "recipe.epochs": 2, "recipe.steps": 2,
}  # fmt: skip
COLLAPSES: dict[str, Any] = {"recipe.schedule": "cyclic", "recipe.lr": 1.0, "recipe.epochs": 8}
"""The learning rate climbs until the network dies: the best epoch is an early one."""


def declare(folder, changes=None):
    """The card of PGD-AT on digits with a tiny network, standard training and other changes."""
    document = tomlkit.parse((data_root() / "models" / "digits" / "pgdat" / "card.toml").read_text())
    for key, value in {**TINY, **(changes or {})}.items():
        *tables, last = key.split(".")
        table = document
        for name in tables:
            table = table.setdefault(name, tomlkit.table())
        table[last] = value
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "card.toml").write_text(tomlkit.dumps(document))
    return read_card(folder)


def run(folder, changes=None, hear=lambda _: None, **options):
    """Train a changed card in `folder`; the epochs it told of."""
    seen = []

    def heard(epoch):
        seen.append(epoch)
        hear(epoch)

    train(declare(folder, changes), folder, CPU, heard, **options)
    return seen


def weights(folder):
    return load_file(folder / "weights.safetensors")


def apart(a, b):
    """The largest difference between two networks' weights."""
    assert a.keys() == b.keys()
    return max((a[key].float() - b[key].float()).abs().max().item() for key in a)


def refusal(folder, changes, **options):
    with pytest.raises(InputError) as caught:
        run(folder, changes, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
