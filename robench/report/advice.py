"""The plan of a trust verdict: the attacks that are left to run, and what it means if none is left."""

from collections.abc import Collection, Sequence

from robench.report.selection import base_name
from robench.specs import COUNTED, find_attack
from robench.specs.diagnostic import REJECTED
from robench.store import Record

STRONGEST = ("cascade", "square", "autoattack", "autoattack-rand", "rays")
"""Attacks to advise, one by one, if all attacks that the findings name have been run."""
CANNOT_AIM = {"autoattack", "autoattack_rand", "feature", "rays", "transfer"}
"""Algorithms that no finding advises if the attacks have a target (`Algorithm.can_aim`, which needs torch)."""
CANNOT_MASK = {"autoattack", "autoattack_rand"}
"""Algorithms that no finding advises if there is a mask or a detector (`Algorithm.can_mask`, which needs torch)."""

LINF_ONLY = {"rays"}
"""Algorithms that no finding advises in other norms (`Algorithm.norms`, which needs torch)."""
NEEDS_CLASSES = {"autoattack", "autoattack_rand"}
"""Algorithms that no finding advises for two classes (`Algorithm.min_classes`, which needs torch)."""


def left_to_run(
    wanted: Sequence[str], records: Sequence[Record], elsewhere: Collection[str] = (), *, infinite: bool = False
) -> tuple[str, ...]:
    """Return the attacks that are left to run, in this order.

    Every attack has no record yet, so following the advice again and again ends after as many rounds as there are
    attacks at most.

    Args:
        wanted: attacks that the findings name, those of the gravest first; empty if there is no finding.
        records: the records that are judged.
        elsewhere: names of attacks that have other records on the same network and examples.
        infinite: whether gradients are NaN or infinite, so that no gradient attack can run.
    """
    here, stored = _names(records), {base_name(name) for name in elsewhere}
    shown = max(record.header.diagnostics.get("shown", 0.0) for record in records)
    unfit = CANNOT_AIM if any(record.header.target for record in records) else set()
    unfit = unfit | (CANNOT_MASK if any(record.header.mask for record in records) else set())
    unfit = unfit | (set() if records[0].header.threat.norm == "linf" else LINF_ONLY)
    detects = any(REJECTED in record.header.diagnostics for record in records)
    unfit = unfit | (CANNOT_MASK if detects else set())
    # Of AutoAttack's versions, one is for random networks (`Algorithm.needs_draws`).
    unfit = unfit | ({"autoattack"} if any(record.header.draws for record in records) else {"autoattack_rand"})
    two = any(record.header.diagnostics.get("two-classes", 0.0) for record in records)
    unfit = unfit | (NEEDS_CLASSES if two else set())

    def is_left(name: str) -> bool:
        spec = find_attack(name)
        if name in here | stored or spec.algorithm in unfit or (infinite and spec.access == "gradient"):
            return False
        return not shown or (spec.access in COUNTED and COUNTED.index(spec.access) + 1 >= shown)

    left = tuple(dict.fromkeys(filter(is_left, wanted)))
    if left or not wanted or (stored - here).intersection(wanted):
        return left
    return tuple(name for name in STRONGEST if is_left(name))[:1]


def nothing_left(records: Sequence[Record], elsewhere: Collection[str] = (), *, grave: bool = False) -> str:
    """Return what to do if no attack is left to run.

    Args:
        records: the records that are judged.
        elsewhere: names of attacks that have other records on the same network and examples.
        grave: whether a finding says that the number is worth nothing.
    """
    if {base_name(name) for name in elsewhere} - _names(records):
        return "The attacks to run next are stored: `robench report` joins their records with these."
    service = any(record.header.diagnostics.get("shown", 0.0) for record in records)
    aimed = any(record.header.target for record in records)
    transferred = any(record.header.attack.access == "transfer" for record in records)
    tries = []
    if not (service or aimed or transferred):
        tries.append("try examples of other networks (--battery transfer --substitute NAME)")
    if grave:
        tries.append("evaluate a copy of the network without the fault")
    elif service:
        tries.append("evaluate the network itself, with its gradients")
    end = f"to know more, {', or '.join(tries)}" if tries else "to know more, mend what is named above"
    return f"No attack is left to run: quote the accuracy as an upper bound with these reasons; {end}."


def gradient_to_give(records: Sequence[Record]) -> str:
    """Return which gradient to give if the one that attacks followed misleads; an empty text for a service.

    Args:
        records: the records that are judged.
    """
    if any(record.header.diagnostics.get("shown", 0.0) for record in records):
        return ""
    given = next((record.header.backward for record in records if record.header.backward), "")
    if given:
        return f"The gradient of --backward {given.partition(' ')[0]} is not good enough: give a better one."
    return (
        "If a part of the network has no gradient, give it one: --backward rounding, jpeg, thermometer, argmax or "
        "file.py:function (in Python backward=)."
    )


def _names(records: Sequence[Record]) -> set[str]:
    """Return the declared names of the attacks of some records."""
    return {base_name(record.header.attack.name) for record in records}
