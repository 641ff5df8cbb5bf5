"""Indicators of whether a robust accuracy can be trusted, as data."""

from functools import cache
from typing import Literal

from pydantic import Field

from robench.paths import data_root
from robench.specs.base import Declared, build, read_stanzas

Level = Literal["trusted", "check", "broken"]
"""Ascending: take it as it is; run more before quoting it; it says nothing about robustness."""
LEVELS: tuple[Level, ...] = ("trusted", "check", "broken")
DIAGNOSTICS = "diagnostics.toml"


class Diagnostic(Declared):
    """One stanza of `attacks/diagnostics.toml`.

    Attributes:
        name: of the measure in a record's `diagnostics`, or of a comparison of records.
        level: what it lowers the trust to.
        above: when its value exceeds this.
        unit: of the value: a share from 0 to 1, or points of accuracy.
        raw_only: counts only where nothing but unscaled cross-entropy was run.
        reason: the finding; `{value}` stands for the value.
        next: the attack to run then.
        cite: where the indicator comes from.
    """

    name: str
    level: Level
    above: float = Field(ge=0)
    unit: Literal["share", "points"] = "share"
    raw_only: bool = False
    reason: str
    next: str
    cite: str

    def finding(self, value: float) -> str:
        """The reason with its value."""
        text = f"{100 * value:.0f}%" if self.unit == "share" else f"{value:.1f} points"
        return self.reason.replace("{value}", text)


@cache
def diagnostics() -> dict[str, Diagnostic]:
    """All indicators by name.

    Raises:
        InputError: a malformed stanza.
    """
    path = data_root() / "attacks" / DIAGNOSTICS
    return {name: build(Diagnostic, stanza, f"'{path}', diagnostic '{name}'") for name, stanza in read_stanzas(path)}
