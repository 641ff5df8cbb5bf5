"""The registry of defenses, `models/<dataset>/<name>/card.toml`: each card is parsed once per content of its file."""

from functools import cache
from pathlib import Path

from robench.errors import InputError, unknown
from robench.paths import TEMPORARY, data_root
from robench.specs.base import digest, read_bytes
from robench.specs.card import CARD, Card, parse_card, read_card

EMBEDDED = "digits"
"""The dataset that needs no download; a bare model name means one of its defenses."""

_LISTED: set[tuple[Path, str]] = set()
"""Roots and names of defenses as the file system spells them; it may also answer to another spelling."""


def list_models() -> list[str]:
    """Return the names of all registered defenses, `<dataset>/<name>`, sorted."""
    root = data_root() / "models"
    folders = [card.parent for card in root.glob(f"*/*/{CARD}")]
    names = sorted(f"{each.parent.name}/{each.name}" for each in folders if not each.name.startswith(TEMPORARY))
    _LISTED.update((root, name) for name in names)
    return names


def is_registered(name: str) -> bool:
    """Tell whether `<dataset>/<name>` is a registered defense, without going through all of them."""
    root = data_root() / "models"
    return (root / name / CARD).is_file() and ((root, name) in _LISTED or name in list_models())


def catalogue_order(name: str) -> tuple[str, bool, str]:
    """Return the sort key of a defense: by dataset, the standardly trained network first."""
    dataset, _, model = name.rpartition("/")
    return dataset, model != "standard", model


def find_card(name: str) -> Card:
    """Find a card by `name` (embedded dataset), `dataset/name`, or the path of a card or its folder.

    Raises:
        InputError: no such card, or a malformed one.
    """
    full = name if "/" in name else f"{EMBEDDED}/{name}"
    if is_registered(full):
        return _find(full)[0]
    if name.endswith(".toml") or (Path(name) / CARD).is_file():
        return read_card(Path(name))
    raise unknown("model", name, sorted(list_models(), key=lambda each: not each.startswith(f"{EMBEDDED}/")))


def card_digests() -> dict[str, str]:
    """Return the digest of each registered card's identity, by the name of the defense.

    Raises:
        InputError: a malformed card.
    """
    return {name: _find(name)[1] for name in list_models()}


def _find(name: str) -> tuple[Card, str]:
    """Return a registered card and the digest of its identity."""
    path = data_root() / "models" / name / CARD
    return _parsed(path, read_bytes(path))


@cache
def _parsed(path: Path, content: bytes) -> tuple[Card, str]:
    card = parse_card(path, content)
    if card.label != path.parent.parent.name:
        raise InputError(f"card '{path}', key 'dataset': expected '{path.parent.parent.name}'.")
    return card, digest(card.identity())
