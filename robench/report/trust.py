"""The trust verdict on a robust accuracy, from the diagnostics of records: level, reasons, attacks to run next."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from robench.numerics.stats import at_least
from robench.report.advice import gradient_to_give, left_to_run, nothing_left
from robench.specs import LEVELS, Diagnostic, Level, diagnostics
from robench.specs.diagnostic import INFINITE_GRADIENTS, ascends_raw
from robench.store import Column, Record, percent, robust_to_all

OF_THE_ATTACK = (
    "zero-gradients", "too-short", "unfinished", "later-steps-break-more", "silent-success", "unconfirmed",
    "noisy-gradients", "falls-with-draws",
)  # fmt: skip
"""Indicators of one attack's run; all others concern the network, or compare attacks."""
STANDARD = ("apgd-ce", "apgd-t", "fab-t", "square")
"""The parts of AutoAttack's standard version."""
AIMED = {"apgd-t", "fab-t"}
"""The parts of AutoAttack that aim at classes."""
CHANCE = 0.01
"""Largest chance of the examples that other attacks break alone if their true share were only the diagnostic's bound.

One example proves nothing, whatever its share. Half a point is exceeded by 2 of 10, 3 of 32, 4 of 100, 8 of 540 and 68
of 10,000 examples, three points by 3 of 10, 5 of 32, 9 of 100, 27 of 540 and 341 of 10,000."""
NO_DIAGNOSTICS = "no diagnostics: the records were made before there were any; run them again."
"""The note on records without diagnostics."""
UNMEASURED = "-"
"""The level of records without diagnostics, which are of older versions."""


@dataclass(frozen=True)
class Finding:
    """An indicator above its threshold, with its value."""

    diagnostic: Diagnostic
    value: float

    @property
    def reason(self) -> str:
        """The finding as one clause."""
        return self.diagnostic.finding(self.value)


@dataclass(frozen=True)
class Trust:
    """The verdict on one robust accuracy.

    Attributes:
        findings: the findings that lowered the level, gravest first.
        next: the plan: names of the attacks that are left to run, in this order; empty if all that help have been run.
        measured: whether the records have diagnostics.
        meaning: what it means that no attack is left; empty if some are.
        gradient: advice on the gradient that attacks follow; empty if the findings do not speak against it.
    """

    findings: tuple[Finding, ...]
    next: tuple[str, ...] = ()
    measured: bool = True
    meaning: str = ""
    gradient: str = ""

    @property
    def level(self) -> Level | str:
        """The level: `trusted`, `check` or `broken`; `-` if nothing was measured."""
        if not self.measured:
            return UNMEASURED
        return self.findings[0].diagnostic.level if self.findings else LEVELS[0]

    def sentence(self) -> str:
        """Return the level with its reasons and the attacks to run next; an empty text if there are no findings."""
        if not self.findings:
            return ""
        reasons = "; ".join(finding.reason for finding in self.findings)
        advice = f"Run next: {', '.join(self.next)}." if self.next else self.meaning
        said = () if self.of_setup else (advice, self.gradient)
        return " ".join(filter(None, (f"{self.level}: {reasons}.", *said)))

    @property
    def of_setup(self) -> bool:
        """Whether the findings say that the setup is wrong, so that no attack can say anything."""
        return bool(self.findings) and not any(finding.diagnostic.next for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the verdict as JSON-ready data."""
        return {
            "level": self.level,
            "reasons": [finding.reason for finding in self.findings],
            "next": list(self.next),
        }


def trust(
    records: Sequence[Record], known: Mapping[str, float] | None = None, elsewhere: Collection[str] = ()
) -> Trust:
    """Judge the worst case of some attacks on one network; with one record, judge that attack.

    Indicators that no record holds are `known`. Attacks `elsewhere` have records on the same network and examples that
    are no part of this worst case; they are not advised again.

    A robust accuracy of 0% is trusted, unless the setup is wrong: every success was confirmed.
    Findings about the network count whichever attack
    showed them. Findings about an attack count only if every gradient attack has some; then those of the strongest
    gradient attack are given.
    """
    if not robust_to_all(records).any():
        return Trust(_of_setup(records))
    if not any(record.header.diagnostics for record in records):
        return Trust((), measured=False)
    each = [_judged(some, known or {}, elsewhere) for some in by_gradient(records) if _explains(some, records)]
    if not each:
        return _judged(records, known or {}, elsewhere)
    return min(each, key=lambda found: LEVELS.index(found.findings[0].diagnostic.level) if found.findings else 0)


def _judged(records: Sequence[Record], known: Mapping[str, float], elsewhere: Collection[str]) -> Trust:
    """Judge records whose gradient attacks follow one gradient."""
    values = {**_of_network(records), **_of_attacks(records), **_compared(records), **known}
    if values.get(INFINITE_GRADIENTS):
        values.pop("no-gradient-attack", None)
    raw = _raw_only(records)
    found = [Finding(rule, values[name]) for name, rule in diagnostics().items() if name in values]
    found = [each for each in found if each.value > each.diagnostic.above and (raw or not each.diagnostic.raw_only)]
    found.sort(key=lambda each: -LEVELS.index(each.diagnostic.level))
    wanted = [each.diagnostic.next for each in found if each.diagnostic.next]
    infinite = any(each.diagnostic.name == INFINITE_GRADIENTS for each in found)
    left = left_to_run(wanted, records, elsewhere, infinite=infinite)
    grave = any(each.diagnostic.level == LEVELS[-1] for each in found)
    gradient = gradient_to_give(records) if any(each.diagnostic.masks for each in found) else ""
    meaning = "" if left else nothing_left(records, elsewhere, grave=grave)
    return Trust(tuple(found), left, meaning=meaning, gradient=gradient)


def by_gradient(records: Sequence[Record]) -> list[list[Record]]:
    """Return the records once for each gradient that gradient attacks followed, a given one first (`--backward`).

    A given gradient can be better than the network's own, whose faults then say nothing.
    """
    followed = {record.header.backward: None for record in records if record.header.attack.access == "gradient"}
    if len(followed) < 2:
        return [list(records)]
    return [
        [each for each in records if each.header.attack.access != "gradient" or each.header.backward == one]
        for one in sorted(followed, key=lambda one: (not one, one))
    ]


def _explains(some: Sequence[Record], records: Sequence[Record]) -> bool:
    """Return whether some records have nearly the worst case of all; if others break much more, these mislead."""
    missed = robust_to_all(some) & ~robust_to_all(records)
    return not _proves(missed, diagnostics()["black-box-finds-more"])


def _of_setup(records: Sequence[Record]) -> tuple[Finding, ...]:
    """Return the findings about the setup, gravest first; no image classified correctly is a finding of its own."""
    values = _of_network(records)
    if not records[0].clean.any():
        values["at-chance"] = 1.0
    rules = {name: rule for name, rule in diagnostics().items() if not rule.next}
    return tuple(Finding(rule, values[name]) for name, rule in rules.items() if values.get(name, 0.0) > rule.above)


def _of_network(records: Sequence[Record]) -> dict[str, float]:
    """Return the largest value of every indicator of the network."""
    values: dict[str, float] = {}
    for record in records:
        for name, value in record.header.diagnostics.items():
            if name not in OF_THE_ATTACK:
                values[name] = max(value, values.get(name, value))
    return values


def _of_attacks(records: Sequence[Record]) -> dict[str, float]:
    """Return the indicators of the strongest gradient attack; none if a gradient attack has no fault."""
    judged = [record for record in records if record.header.attack.access == "gradient"] or list(records)
    rules = diagnostics()

    def faults(record: Record) -> dict[str, float]:
        mine = {name: value for name, value in record.header.diagnostics.items() if name in OF_THE_ATTACK}
        mine["convergence-unseen"] = float(_is_gradient(record) and not _shows_convergence(record))
        return {name: value for name, value in mine.items() if value > rules[name].above}

    every = [faults(record) for record in judged]
    if not all(every):
        return {}
    return every[int(np.argmin([record.robust_accuracy for record in judged]))]


def _compared(records: Sequence[Record]) -> dict[str, float]:
    """Return the indicators that compare attacks.

    They are the share of examples in percent that only black-box or transfer attacks break (0 if a share at the bound
    of the diagnostic explains their number), and kinds of attacks that are missing.
    """
    gradient = [record for record in records if _is_gradient(record)]
    if not gradient:
        return {"no-gradient-attack": 1.0}
    white, aimed = robust_to_all(gradient), any(map(_aims, gradient))
    binary = any(record.header.diagnostics.get("two-classes", 0.0) for record in gradient)
    values = {"untargeted-only": float(not aimed and not binary)}
    for name, accesses in (("black-box", ("score", "decision")), ("transfer", ("transfer",))):
        others = [record for record in records if _access(record) in accesses]
        if others:
            missed = white & ~robust_to_all(others)
            grave, mild = f"{name}-beats-white-box", f"{name}-finds-more"
            if aimed and _proves(missed, diagnostics()[grave]):
                values[grave] = percent(missed)
            else:
                values[mild] = percent(missed) if _proves(missed, diagnostics()[mild]) else 0.0
    return values


def _proves(missed: Column, rule: Diagnostic) -> bool:
    """Return whether the number of examples that only other attacks break shows that their share exceeds a bound.

    One-sided exact binomial test: each example is broken by chance with the probability of the bound.
    """
    return at_least(int(np.count_nonzero(missed)), len(missed), rule.above / 100.0) <= CHANCE


def _access(record: Record) -> str:
    """Return the access that an attack effectively has.

    AutoAttack's part Square sees scores only; an attack that transfers from a network to itself has seen its gradient.
    """
    if _parts(record) == {"square"}:
        return "score"
    networks = set(_params(record).get("networks", ()))
    return "gradient" if networks == {record.model_identity} else record.header.attack.access


def _is_gradient(record: Record) -> bool:
    return _access(record) == "gradient"


def _params(record: Record) -> dict[str, Any]:
    """Return all parameters of an attack, defaults included."""
    params: dict[str, Any] = record.header.identity["attack"]["params"]
    return params


def _parts(record: Record) -> set[str]:
    """Return the parts of the published AutoAttack that were run; empty for other attacks."""
    return set(_params(record).get("parts", ()))


def _shows_convergence(record: Record) -> bool:
    """Return whether it is known if an attack converged; AutoAttack's standard version counts as known."""
    found = record.header.diagnostics
    measured = not {"unfinished", "later-steps-break-more"}.isdisjoint(found)
    return measured or found.get("too-short", 0.0) > 0 or len(_parts(record)) == len(STANDARD)


def _aims(record: Record) -> bool:
    """Return whether an attack aims at wrong classes one by one."""
    params = _params(record)
    return (
        bool(record.header.target)
        or record.header.attack.algorithm in {"cascade", "hopping"}
        or params.get("objective") == "dlr_targeted"
        or bool(params.get("targeted"))
        or not AIMED.isdisjoint(_parts(record))
    )


def _raw_only(records: Sequence[Record]) -> bool:
    """Return whether every gradient attack ascends unscaled cross-entropy."""
    return all(
        ascends_raw(_params(record))
        for record in records
        if _is_gradient(record) and record.header.attack.access == "gradient"
    )
