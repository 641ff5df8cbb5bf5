"""Defenses that differ from a card in some values: trained once, then reused."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tomlkit
import torch

from robench.paths import write_text
from robench.specs import CARD, Card, read_card
from robench.specs.base import build
from robench.store.log import Epoch
from robench.training.checkpoint import CHECKPOINT
from robench.training.trainer import train


def variant(card: Card, folder: Path, changes: Mapping[str, Any], device: torch.device,
            on_epoch: Callable[[Epoch], None] = lambda epoch: None) -> Card:  # fmt: skip
    """Return the trained defense of a changed card; train it if necessary.

    Args:
        card: the card to change.
        folder: of the new card and its weights.
        changes: new values by dotted key, `{"recipe.steps": 3, "head.scale": 10.0}`.
        device: for training.
        on_epoch: called with every finished epoch.

    Raises:
        InputError: the changed card is malformed.
    """
    document = tomlkit.parse((card.folder / CARD).read_text(encoding="utf-8"))
    document["sha256"] = ""
    for key, value in changes.items():
        *tables, last = key.split(".")
        table: Any = document
        for name in tables:
            table = table.setdefault(name, tomlkit.table())
        table[last] = value
    wanted = build(Card, document.unwrap(), f"{card.where} with {dict(changes)}")
    path = folder / CARD
    there = read_card(path) if path.is_file() else None
    if there is None or there.recipe_identity() != wanted.recipe_identity():
        (folder / CHECKPOINT).unlink(missing_ok=True)  # of the recipe before
        write_text(path, tomlkit.dumps(document))
        there = read_card(path)
    if not there.sha256 or not there.weights.is_file():
        there = read_card(train(there, folder, device, on_epoch))
    return there
