"""Which records a table may show together: never two different things under one name."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench.paths import results_folders
from robench.specs import (
    NORMS,
    battery_attacks,
    catalogue_order,
    digest,
    find_attack,
    find_card,
    list_attacks,
    list_models,
)
from robench.store import Record, Store, read_published

if TYPE_CHECKING:
    from robench.report.sweeps import Sweep

WEIGHTS = re.compile(r"@[0-9a-f]{8}$")
"""What `Card.name` appends outside the registry."""


@dataclass(frozen=True)
class Selection:
    """Records of one set of examples and one threat model a defense, and what was left out.

    Attributes:
        defenses: the records of each defense, in the order of the catalogue.
        left_out: how many of their records were of other weights, examples, threat models, seeds or precisions.
        unshown: how many other defenses have records.
        corrupted: each defense's sweeps over corruptions.
    """

    defenses: dict[str, list[Record]]
    left_out: int
    unshown: int = 0
    corrupted: "dict[str, list[Sweep]]" = field(default_factory=dict)


def load(results: Path | None = None, *, published: bool = False) -> list[Record]:
    """Raw and published records under a results folder; a raw one replaces its published copy.

    Without a folder, those of the default one and the published records that robench ships; `published` leaves
    the raw ones out.
    """
    found = [record for folder in results_folders(results) for record in read_published(folder)]
    found += () if published else Store(results_folders(results)[-1]).records()
    return list(
        {(record.header.model, record.header.hash, record.header.attack.name): record for record in found}.values()
    )


def base_name(attack: str) -> str:
    """The declared name of an attack: without its substitutes or its budget."""
    return attack.partition("-from-")[0].partition("-within-")[0]


def defense(model: str) -> str:
    """The declared name of a defense: without the weights that tell unregistered ones apart."""
    return WEIGHTS.sub("", model)


def latest_per_key(records: Iterable[Record]) -> list[Record]:
    """Of several records of one attack on the same things only one, in its place: that of the attack as it is declared
    now, else the last; another is of an older version of the attack, or of substitutes that are no more.
    """
    slots: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        slots.setdefault(record_key(record), []).append(record)
    if all(len(rivals) == 1 for rivals in slots.values()):
        return [rivals[0] for rivals in slots.values()]
    declared = Declared()
    return [max(rivals, key=declared.rank) for rivals in slots.values()]


class Declared:
    """What names stand for now: attacks' stanzas, registered networks."""

    def __init__(self) -> None:
        self.attacks = {name: find_attack(name).identity() for name in list_attacks()}
        self.networks = {name: digest(find_card(name).identity()) for name in list_models()}

    def __contains__(self, record: Record) -> bool:
        """Whether an attack is still what its name stands for: its stanza, the substitutes its examples came from."""
        attack = record.header.attack
        if attack.name in self.attacks:
            return attack.identity() == self.attacks[attack.name]
        params = record.header.identity["attack"]["params"]
        crafted = zip(params.get("substitutes", ()), params.get("networks", ()), strict=False)
        return all(self.networks.get(name, network) == network for name, network in crafted)

    def rank(self, record: Record) -> tuple[bool, int, str]:
        """Higher is better: what the name stands for now, the algorithm's latest version, the newest."""
        version = record.header.identity["attack"].get("version", 0)
        return record in self, int(version), record.header.created


def record_key(record: Record) -> tuple[Any, ...]:
    """What records must share for the newer to replace the older."""
    h = record.header
    return record.group, h.seed, h.precision, h.attack.name


def current(records: Iterable[Record], models: list[str] | None = None) -> dict[str, list[Record]]:
    """The records of each defense that belong to its card's weights, by name.

    Unless `models` names others, defenses outside the registry (variants made on the way, say) stay out
    where there are registered ones.
    """
    records = list(records)
    digests = {name: digest(find_card(name).identity()) for name in list_models()}
    if models is None:
        present = {record.header.model for record in records}
        models = sorted(present & digests.keys() or present)
    found: dict[str, list[Record]] = {}
    for record in records:
        name = record.header.model
        # What is not registered has no card to be older than.
        if name in models and digests.get(name, record.model_identity) == record.model_identity:
            found.setdefault(name, []).append(record)
    return found


def in_order(records: Iterable[Record]) -> list[Record]:
    """Records by threat model, size, seed and precision, then in the order of the `full` battery."""
    place = {spec.name: at for at, spec in enumerate(battery_attacks("full"))}

    def key(record: Record) -> tuple[Any, ...]:
        h = record.header
        name = h.attack.name
        return (
            NORMS.index(h.threat.norm),
            h.threat.eps,
            -h.n,
            h.precision != "fp32",
            h.seed,
            place.get(name, len(place)),
            name,
        )

    return sorted(records, key=key)


def select(
    records: Iterable[Record],
    models: list[str] | None = None,
    corrupted: "Mapping[str, list[Sweep]] | None" = None,
) -> Selection:
    """For each defense the verdicts that belong together.

    A record of other weights than its card's, or of an attack that is no longer what its name stands for, is stale
    and left out. What remains is grouped by examples, threat model, seed and precision; the group with the most
    examples is taken, then the one with the most attacks, then full precision and the lowest seed.
    """
    records = list(records)
    chosen: dict[str, list[Record]] = {}
    declared = Declared()
    for name, mine in current(records, models).items():
        groups: dict[tuple[Any, ...], list[Record]] = {}
        for record in in_order(each for each in latest_per_key(mine) if each in declared):
            h = record.header
            groups.setdefault((record.group, h.seed, h.precision), []).append(record)
        if groups:
            chosen[name] = max(groups.values(), key=lambda group: (group[0].header.n, len(group)))
    candidates = sum(record.header.model in chosen for record in records)
    others = {record.header.model for record in records} - chosen.keys() if models is None else set()
    left_out = candidates - sum(map(len, chosen.values()))
    shown = {name: lines for name, lines in (corrupted or {}).items() if models is None or name in models}
    return Selection({name: chosen[name] for name in sorted(chosen, key=catalogue_order)}, left_out, len(others), shown)
