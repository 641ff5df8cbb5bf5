"""Can a robust accuracy be trusted? A plain verdict from the diagnostics of records, its reasons, what to run next."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from robench.specs import LEVELS, Diagnostic, Level, diagnostics
from robench.store import Column, Record, percent

OF_THE_ATTACK = (
    "zero-gradients", "too-short", "unfinished", "later-steps-break-more", "silent-success", "unconfirmed",
)  # fmt: skip
"""Indicators of one attack's run; all others are of the network, or compare attacks."""
UNMEASURED = "-"
"""The verdict on records without diagnostics, made before there were any."""


@dataclass(frozen=True)
class Finding:
    """An indicator above its threshold: what was seen, and the attack to run next."""

    diagnostic: Diagnostic
    value: float

    @property
    def reason(self) -> str:
        """One clause."""
        return self.diagnostic.finding(self.value)


@dataclass(frozen=True)
class Trust:
    """The verdict on one robust accuracy.

    Attributes:
        findings: what lowered it, gravest first.
        measured: whether there were diagnostics at all.
    """

    findings: tuple[Finding, ...]
    measured: bool = True

    @property
    def level(self) -> Level | str:
        """`trusted`, `check` or `broken`; `-` where nothing was measured."""
        if not self.measured:
            return UNMEASURED
        return self.findings[0].diagnostic.level if self.findings else LEVELS[0]

    def sentence(self) -> str:
        """The verdict with its reasons and the mend, or nothing where it is trusted."""
        if not self.findings:
            return ""
        reasons = "; ".join(finding.reason for finding in self.findings)
        attacks = " ".join(dict.fromkeys(f"--attack {finding.diagnostic.next}" for finding in self.findings))
        return f"{self.level}: {reasons}. Run next: {attacks}."

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "level": self.level,
            "reasons": [finding.reason for finding in self.findings],
            "next": list(dict.fromkeys(finding.diagnostic.next for finding in self.findings)),
        }


def trust(records: Sequence[Record]) -> Trust:
    """The verdict on the worst case of some attacks on one network; on a single one, of that attack.

    What is wrong with the network counts whichever attack showed it. What is wrong with an attack counts if
    no other gradient attack is without fault: then the findings of the strongest one are given.
    """
    if not any(record.header.diagnostics for record in records):
        return Trust((), measured=False)
    values = {**_of_network(records), **_of_attacks(records), **_compared(records)}
    raw = _raw_only(records)
    found = [Finding(rule, values[name]) for name, rule in diagnostics().items() if name in values]
    found = [each for each in found if each.value > each.diagnostic.above and (raw or not each.diagnostic.raw_only)]
    return Trust(tuple(sorted(found, key=lambda each: -LEVELS.index(each.diagnostic.level))))


def _of_network(records: Sequence[Record]) -> dict[str, float]:
    """The largest value of every indicator of the network."""
    values: dict[str, float] = {}
    for record in records:
        for name, value in record.header.diagnostics.items():
            if name not in OF_THE_ATTACK:
                values[name] = max(value, values.get(name, value))
    return values


def _of_attacks(records: Sequence[Record]) -> dict[str, float]:
    """The indicators of the strongest gradient attack, unless another one is without fault."""
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
    """What attacks without gradients break and no gradient attack does, in points."""
    gradient = [record for record in records if _is_gradient(record)]
    if not gradient:
        return {"no-gradient-attack": 1.0}
    white = _together(gradient)
    values = {"untargeted-only": float(not any(map(_aims, gradient)))}
    for name, kind in (("black-box", ("score", "decision")), ("transfer", ("transfer",))):
        others = [record for record in records if record.header.attack.access in kind]
        if others:
            values[f"{name}-beats-white-box"] = percent(white & ~_together(others))
    return values


def _together(records: Sequence[Record]) -> Column:
    """Robust under all of them, bool."""
    return reduce(np.logical_and, [record.robust for record in records])


def _is_gradient(record: Record) -> bool:
    return record.header.attack.access == "gradient"


def _shows_convergence(record: Record) -> bool:
    """Whether it does, or is known not to; the published AutoAttack is taken at its word."""
    header = record.header
    short = header.diagnostics.get("too-short", 0.0) > 0
    seen = not {"unfinished", "later-steps-break-more"}.isdisjoint(header.diagnostics)
    return short or seen or header.attack.algorithm == "autoattack"


def _aims(record: Record) -> bool:
    """Whether an attack tries wrong classes one by one, or all of them."""
    params = record.header.identity["attack"]["params"]
    aims = {"apgd-t", "fab", "fab-t"}.intersection(params.get("parts", ()))
    return (
        record.header.attack.algorithm in ("cascade", "fab") or params.get("objective") == "dlr_targeted" or bool(aims)
    )


def _raw_only(records: Sequence[Record]) -> bool:
    """Whether every gradient attack ascends unscaled cross-entropy."""
    params = [record.header.identity["attack"]["params"] for record in records if _is_gradient(record)]
    return all(each.get("objective") == "ce" for each in params)
