"""From what was counted during an attack to the indicators of `attacks/diagnostics.toml`."""

from collections.abc import Mapping

from robench.specs import AttackSpec
from robench.store import Rows

SHORT = 10
"""Fewer steps cannot show that an attack has converged."""


def indicators(counts: Mapping[str, int], faults: Mapping[str, int], spec: AttackSpec) -> dict[str, float]:
    """Shares by the names of the diagnostics; one that could not be measured is left out.

    Args:
        counts: as `robench.engine.loop` counts them, summed over chunks.
        faults: how often the judge refused a claim, by reason.
        spec: the attack.
    """
    found: dict[str, float] = {}
    if counts["slopes"]:
        found["zero-gradients"] = counts["flat"] / counts["slopes"]
        if not counts["opaque"]:
            found["too-short"] = float(spec.steps < SHORT)
        if counts["followed"] or not counts["survivors"]:
            found["unfinished"] = counts["gaining"] / max(counts["followed"], 1)
    if counts["claims"]:
        found["unconfirmed"] = sum(faults.values()) / counts["claims"]
    if spec.success == "last" and counts["survivors"]:
        found["silent-success"] = counts["slipped"] / counts["survivors"]
    return {name: round(value, 6) for name, value in found.items()}


def of_prefix(longer: Mapping[str, float], rows: Rows, steps: int) -> dict[str, float]:
    """The indicators of an attack that is read from a longer run.

    How far it had converged is not guessed from its gains, but seen in what the later steps broke.

    Args:
        longer: of the longer run.
        rows: the longer run's.
        steps: of the shorter.
    """
    found = {name: value for name, value in longer.items() if name != "unfinished"}
    if "too-short" in found:
        found["too-short"] = float(steps < SHORT)
        survivors = rows.prefix(steps).robust
        found["later-steps-break-more"] = round(
            float(rows.robust[survivors].size and (~rows.robust[survivors]).mean()), 6
        )
    return found
