"""The data of the page: JSON-ready, always in the same order, with shared values stored once."""

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from robench.report import Selection, Trust, trust, worst_case
from robench.report.groups import headings
from robench.report.page.corruptions import grids, rounded
from robench.report.page.curves import curves
from robench.report.page.gallery import Clean, gallery
from robench.report.page.interned import Interned
from robench.report.robustness import attack_names, lacking_attacks
from robench.report.selection import latest_per_key, of_current_weights
from robench.report.sweeps import Sweep, mca_on
from robench.report.trust import NO_DIAGNOSTICS
from robench.specs import diagnostics, find_card, list_models
from robench.store import Column, Record

SCHEMA = 1


class Shared:
    """Values that many records share.

    Attributes:
        texts: canonical JSON of the parts of identities.
        attacks: stanzas.
        trusts: trust verdicts.
        runs: devices and versions.
    """

    def __init__(self) -> None:
        self.texts, self.attacks, self.trusts, self.runs = Interned(), Interned(), Interned(), Interned()


def page_data(
    records: Sequence[Record],
    groups: Sequence[Selection],
    clean: Clean,
    corrupted: Mapping[str, Sequence[Sweep]] | None = None,
) -> dict[str, Any]:
    """Return the data of a page.

    Args:
        records: all records that were loaded; curves against eps also use other threat models than that of a group.
        groups: the records that the page shows, by group; a defense in several groups has an entry in each, and the
            group with the most defenses comes first.
        clean: loads clean images; called only for records that hold adversarial points.
        corrupted: the sweeps of each defense over corruptions.
    """
    shared = Shared()
    names = list(dict.fromkeys(name for group in groups for name in attack_names(group)))
    everything = of_current_weights(records, list(dict.fromkeys(name for group in groups for name in group.defenses)))
    seen: Counter[str] = Counter()
    registered = set(list_models())
    defenses = []
    titled = sorted(zip(headings(groups), groups, strict=True), key=lambda each: -len(each[1].defenses))
    entries = [(said, group, name, mine) for said, group in titled for name, mine in group.defenses.items()]
    for said, group, name, mine in entries:
        made = _defense(mine, shared)
        made["setting"] = said
        seen[name] += 1
        made["key"] = name if seen[name] == 1 else f"{name} ({seen[name]})"
        made["about"] = find_card(name).about if name in registered else ""
        made["missing"] = list(lacking_attacks(attack_names(group), mine))
        made["curves"] = curves(mine, latest_per_key(everything[name]))
        swept = (corrupted or {}).get(name, ())
        made["mca"] = rounded(mca_on(mine[0].comparison_key.data, swept))
        made["corruptions"] = grids(swept, mine[0].header.dataset)
        made["gallery"] = gallery(mine, clean)
        defenses.append(made)
    return {
        "schema": SCHEMA,
        "attack_names": names,
        "left_out": sum(group.left_out for group in groups),
        "unshown": sum(group.unshown for group in groups),
        "diagnostics": [rule.model_dump() for rule in diagnostics().values()],
        **{name: pool.values for name, pool in vars(shared).items()},
        "defenses": defenses,
    }


def _defense(records: Sequence[Record], shared: Shared) -> dict[str, Any]:
    """Return the worst case and all records of a defense."""
    first, worst = records[0], worst_case(records)
    header = first.header
    identities = _identities(records, shared)
    return {
        "name": header.model,
        "dataset": header.dataset,
        "threat": header.goal,
        "n": header.n,
        "examples": shared.texts.text(header.identity["data"]),
        "clean": round(first.clean_accuracy, 4),
        "clean_bits": bits(first.clean),
        "worst": {**_estimate(worst.robust_accuracy, worst.interval), "trust": _trust(worst.trust, shared)},
        "records": [_record(record, identity, shared) for record, identity in zip(records, identities, strict=True)],
    }


def _identities(records: Sequence[Record], shared: Shared) -> Iterator[dict[str, int]]:
    """Yield the places of the parts of each identity; all records of a worst case share network and data."""
    first = records[0].header.identity
    common = {key: shared.texts.text(first[key]) for key in ("data", "model")}
    for record in records:
        parts = sorted(record.header.identity.items())
        yield {key: common[key] if key in common else shared.texts.text(part) for key, part in parts}


def _record(record: Record, identity: Mapping[str, int], shared: Shared) -> dict[str, Any]:
    header = record.header
    return {
        "attack": shared.attacks.value(header.attack.model_dump(exclude={"params"})),
        **_estimate(record.robust_accuracy, record.interval),
        "bits": bits(record.robust),
        "trust": _trust(trust([record]), shared),
        "hash": header.hash,
        "derived_from": header.derived_from,
        "identity": identity,
        "run": shared.runs.value({"device": header.device, "versions": header.versions}),
        "created": header.created,
        "seconds": header.seconds,
        "forwards": header.forwards,
        "backwards": header.backwards,
        "invalid": header.invalid,
        "faults": header.faults,
        "diagnostics": header.diagnostics,
    }


def _estimate(accuracy: float, interval: tuple[float, float]) -> dict[str, float]:
    low, high = interval
    return {"accuracy": round(accuracy, 4), "low": round(low, 4), "high": round(high, 4)}


def _trust(found: Trust, shared: Shared) -> int:
    return shared.trusts.value(
        {"level": found.level, "sentence": found.sentence() if found.measured else NO_DIAGNOSTICS}
    )


def bits(mask: Column) -> str:
    """Return verdicts, bool (N,), as base64 with eight verdicts per byte, first example first."""
    return base64.b64encode(np.packbits(mask).tobytes()).decode()
