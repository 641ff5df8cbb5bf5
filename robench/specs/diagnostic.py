"""Indicators of the trust in a robust accuracy, as data."""

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

from pydantic import Field

from robench.paths import data_root
from robench.specs.base import Declared, build, read_stanzas

Level = Literal["trusted", "check", "broken"]
"""Trust in a number, highest first: quote it; run more before quoting it; it says nothing about robustness."""
LEVELS: tuple[Level, ...] = ("trusted", "check", "broken")
DIAGNOSTICS = "diagnostics.toml"


class Diagnostic(Declared):
    """One stanza of `attacks/diagnostics.toml`.

    Attributes:
        name: of the measure in a record's `diagnostics`, or of a comparison of records.
        level: the trust that remains if the value exceeds `above`.
        above: the largest value without a finding.
        unit: of the value, a share from 0 to 1 or points of accuracy.
        raw_only: whether it counts only if all attacks ascended unscaled cross-entropy.
        reason: the finding; `{value}` stands for the value.
        next: the attack to run then; empty if the setup is at fault, which no attack mends.
        masks: whether a part of the network without gradient shows itself so.
        cite: the source of the indicator.
    """

    name: str
    level: Level
    above: float = Field(ge=0)
    unit: Literal["share", "points"] = "share"
    raw_only: bool = False
    reason: str
    next: str = ""
    masks: bool = False
    cite: str

    def finding(self, value: float) -> str:
        """Return the reason with the value filled in."""
        text = f"{100 * value:.0f}%" if self.unit == "share" else f"{value:.1f} points"
        return self.reason.replace("{value}", text)


INFINITE_GRADIENTS = "infinite-gradients"
"""Indicator of a network on which an attack met NaN or infinite gradients."""

REJECTED = "rejected-clean"
"""Share of clean examples that a network with a detector rejects, in its records' `diagnostics`; no indicator."""


@cache
def diagnostics() -> dict[str, Diagnostic]:
    """Read all indicators by name.

    Raises:
        InputError: a malformed stanza.
    """
    path = data_root() / "attacks" / DIAGNOSTICS
    return {name: build(Diagnostic, stanza, f"'{path}', diagnostic '{name}'") for name, stanza in read_stanzas(path)}


def ascends_raw(params: Mapping[str, Any]) -> bool:
    """Return whether an attack with these parameters, defaults included, ascends only unscaled cross-entropy."""
    return params.get("objective") == "ce" or set(params.get("parts", ())) == {"apgd-ce"}
