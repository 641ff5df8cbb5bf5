"""The selection of records that a table may show together: never two different things under one name."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from robench.paths import results_folders
from robench.specs import CONTROL, FEW, NORMS, battery_attacks, card_digests, catalogue_order, find_attack, list_attacks
from robench.specs.attack import THROUGH
from robench.store import Record, Store, read_published

if TYPE_CHECKING:
    from robench.report.sweeps import Sweep

WEIGHTS = re.compile(r"@[0-9a-f]{8}$")
"""The suffix that `Card.name` has outside the registry."""


@dataclass(frozen=True)
class Selection:
    """Records of several defenses, with one comparison key per defense, and the number of records left out.

    Attributes:
        defenses: the records of each defense, in the order of the catalogue.
        left_out: the number of these defenses' records that are stale or have another comparison key.
        unshown: the number of other defenses that have records.
        corrupted: the sweeps of each defense over corruptions.
        heading: the settings that all records share, if the selection is one of several groups.
        reasons: the ways in which left-out records differ.
    """

    defenses: dict[str, list[Record]]
    left_out: int
    unshown: int = 0
    corrupted: "dict[str, list[Sweep]]" = field(default_factory=dict)
    heading: str = ""
    reasons: str = "weights, attacks, examples, threat models, seeds or precisions"


def load(results: Path | None = None, *, published: bool = False) -> list[Record]:
    """Load raw and published records under a results folder; a raw record replaces its published copy.

    If the stanza of an attack changed and another stanza declares what the attack was, its records bear that name.

    Args:
        results: the folder; by default the default folder and the published records that robench ships.
        published: leave raw records out.
    """
    found = [record for folder in results_folders(results) for record in read_published(folder)]
    found += () if published else Store(results_folders(results)[-1]).records()
    catalogue = CurrentCatalogue()
    found = [catalogue.renamed(record) for record in found]
    return list(
        {(record.header.model, record.header.hash, record.header.attack.name): record for record in found}.values()
    )


def base_name(attack: str) -> str:
    """Return the declared name of an attack, without its substitutes, its budget or the gradient that it follows."""
    return attack.partition("-from-")[0].partition("-within-")[0].partition(THROUGH)[0]


def defense(model: str) -> str:
    """Return the declared name of a defense, without the suffix that names the weights of an unregistered one."""
    return WEIGHTS.sub("", model)


def latest_per_key(records: Iterable[Record]) -> list[Record]:
    """Keep one record per `record_key`: the record of the attack as it is declared now, else the newest.

    The dropped records are of older versions of the attack, or of substitutes that no longer exist.
    """
    by_key: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        by_key.setdefault(record_key(record), []).append(record)
    if all(len(rivals) == 1 for rivals in by_key.values()):
        return [rivals[0] for rivals in by_key.values()]
    catalogue = CurrentCatalogue()
    return [max(rivals, key=catalogue.rank) for rivals in by_key.values()]


class CurrentCatalogue:
    """The attacks and networks as they are declared now: the stanza of each attack, the digest of each network."""

    def __init__(self) -> None:
        self.attacks = {name: find_attack(name).identity() for name in list_attacks()}
        self.networks = card_digests()

    def __contains__(self, record: Record) -> bool:
        """Return whether a record's attack is as it is declared now: its stanza and the networks of its substitutes."""
        attack = record.header.attack
        if attack.name in self.attacks:
            declared = self.attacks[attack.name]
            short = attack.algorithm == CONTROL and record.header.n <= FEW and attack.steps < declared["steps"]
            return attack.identity() == ({**declared, "steps": attack.steps} if short else declared)
        params = record.header.identity["attack"]["params"]
        crafted = zip(params.get("substitutes", ()), params.get("networks", ()), strict=False)
        return all(self.networks.get(name, network) == network for name, network in crafted)

    def renamed(self, record: Record) -> Record:
        """Return a record under the name that its attack has now, if its own name was given to another attack."""
        header = record.header
        if header.attack.name not in self.attacks or record in self:
            return record
        was = header.attack.identity()
        name = next((name for name, identity in self.attacks.items() if identity == was), None)
        if name is None:
            return record
        header = header.model_copy(update={"attack": header.attack.model_copy(update={"name": name})})
        return Record(header, record.clean, record.robust, record.step, record.path, record.queries, record.right)

    def rank(self, record: Record) -> tuple[bool, int, str]:
        """Return a key that is higher for a better record: declared now, later version of the algorithm, newer."""
        version = record.header.identity["attack"].get("version", 0)
        return record in self, int(version), record.header.created


def record_key(record: Record) -> tuple[Any, ...]:
    """Return the key that two records share if the newer replaces the older."""
    return record.network, record.comparison_key, record.header.attack.name, record.header.backward


def of_current_weights(records: Iterable[Record], models: list[str] | None = None) -> dict[str, list[Record]]:
    """Return the records that belong to the current weights of each defense, by the name of the defense.

    Args:
        records: records of any defenses.
        models: the names of the defenses; by default the registered ones or, if none has records, all.
    """
    records = list(records)
    digests = card_digests()
    if models is None:
        present = {record.header.model for record in records}
        models = sorted(present & digests.keys() or present)
    found: dict[str, list[Record]] = {}
    for record in records:
        name = record.header.model
        # A defense outside the registry has no card that its records could be older than.
        if name in models and digests.get(name, record.model_identity) == record.model_identity:
            found.setdefault(name, []).append(record)
    return found


def in_order(records: Iterable[Record]) -> list[Record]:
    """Sort records by threat model, size, precision and seed, then in the order of the `full` battery."""
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
    """Select the records of each defense that stand together.

    A record is stale and left out if it is of other weights than its card's, or of an attack that is declared
    otherwise now. The others are grouped by comparison key. Groups without target and mask come first; the one with the
    most examples is taken; among equals
    the group with the most attacks, then full precision, then the lowest seed.

    Args:
        records: records of any defenses.
        models: the names of the defenses to select; by default see `of_current_weights`.
        corrupted: the sweeps of each defense over corruptions.
    """
    records = list(records)
    chosen: dict[str, list[Record]] = {}
    catalogue = CurrentCatalogue()
    for name, mine in of_current_weights(records, models).items():
        groups: dict[tuple[Any, ...], list[Record]] = {}
        for record in in_order(each for each in latest_per_key(mine) if each in catalogue):
            groups.setdefault((record.network, record.comparison_key), []).append(record)
        if groups:
            chosen[name] = max(groups.values(), key=lambda group: (_usual(group[0]), group[0].header.n, len(group)))
    candidates = sum(record.header.model in chosen for record in records)
    others = {record.header.model for record in records} - chosen.keys() if models is None else set()
    left_out = candidates - sum(map(len, chosen.values()))
    shown = {name: lines for name, lines in (corrupted or {}).items() if models is None or name in models}
    return Selection({name: chosen[name] for name in sorted(chosen, key=catalogue_order)}, left_out, len(others), shown)


def _usual(record: Record) -> tuple[bool, bool]:
    """Return a key that is higher if a record has no target, and then if it has no mask."""
    return not record.header.target, record.header.mask is None
