"""Which records a table may show together: never two different things under one name."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from robench.errors import InputError
from robench.paths import data_root, default_results
from robench.specs import battery_attacks, digest, find_card
from robench.store import Record, Store, read_published


@dataclass(frozen=True)
class Selection:
    """Records of one set of examples and one threat model a defense, and what was left out.

    Attributes:
        defenses: the records of each defense, in the order of the catalogue.
        left_out: how many records were not of the chosen kind, by reason.
    """

    defenses: dict[str, list[Record]]
    left_out: dict[str, int]


def load(results: Path | None = None) -> list[Record]:
    """Raw and published records under a results folder; a raw one replaces its published copy.

    Without a folder, those of the default one and the published records that robench ships.
    """
    folders = [results] if results else [data_root() / "results", default_results()]
    found = [record for folder in dict.fromkeys(folders) for record in read_published(folder)]
    found += Store(folders[-1]).records()
    return list({(record.header.hash, record.header.attack.name): record for record in found}.values())


def select(records: Iterable[Record], models: list[str] | None = None) -> Selection:
    """For each defense the verdicts that belong together.

    A record of other weights than its card's is stale and left out. Of what remains the group with the
    most examples is taken, then the one with the most attacks; within it each attack once, full precision
    and the lowest seed first.
    """
    left_out: dict[str, int] = {}
    groups: dict[str, dict[tuple[str, ...], list[Record]]] = {}
    for record in records:
        name = record.header.model
        if models and name not in models:
            continue
        if not _is_current(record):
            left_out["of other weights than the card's"] = left_out.get("of other weights than the card's", 0) + 1
            continue
        groups.setdefault(name, {}).setdefault(record.header.group, []).append(record)
    chosen: dict[str, list[Record]] = {}
    for name in sorted(groups, key=_catalogue_order):
        best = max(groups[name].values(), key=lambda group: (group[0].header.n, len(group)))
        others = sum(len(group) for group in groups[name].values()) - len(best)
        if others:
            key = "on fewer examples or under another threat model"
            left_out[key] = left_out.get(key, 0) + others
        chosen[name] = _each_attack_once(best)
    return Selection(chosen, left_out)


def _each_attack_once(records: list[Record]) -> list[Record]:
    order = {spec.name: place for place, spec in enumerate(battery_attacks("full"))}
    once: dict[str, Record] = {}
    for record in sorted(records, key=lambda r: (r.header.precision != "fp32", r.header.seed)):
        once.setdefault(record.header.attack.name, record)
    return sorted(once.values(), key=lambda r: (order.get(r.header.attack.name, len(order)), r.header.attack.name))


def _is_current(record: Record) -> bool:
    try:
        card = find_card(record.header.model)
    except InputError:
        return True  # not a registered defense: there is no card to be older than
    return digest(card.identity()) == record.header.model_identity


def _catalogue_order(name: str) -> tuple[str, bool, str]:
    dataset, _, model = name.rpartition("/")
    return dataset, model != "standard", model
