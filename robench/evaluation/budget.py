"""Limit black-box attacks to a number of queries."""

from bisect import bisect_right
from collections.abc import Sequence

from robench.algorithms import bind
from robench.errors import InputError
from robench.specs import COUNTED, AttackSpec, digest


def cap_queries(specs: Sequence[AttackSpec], queries: int) -> list[AttackSpec]:
    """Shorten attacks on scores or decisions to the steps that a number of queries per example allows.

    A shortened attack is the beginning of the longer run, and is read from that run if its record exists. If
    several attacks become equal, the first is kept.

    Raises:
        InputError: an attack cannot make one step.
    """
    if isinstance(queries, bool) or not isinstance(queries, int):
        raise InputError(f"max_queries {queries!r} must be a whole number.")
    kept: dict[str, AttackSpec] = {}
    for spec in specs:
        cut = _cut(spec, queries) if spec.access in COUNTED else spec
        kept.setdefault(spec.name if cut is spec else digest(cut.identity()), cut)
    return list(kept.values())


def _cut(spec: AttackSpec, queries: int) -> AttackSpec:
    algorithm = bind(spec)

    last_look = algorithm.checks_own_proposals and spec.success == "last"

    def asked(steps: int) -> int:
        return spec.restarts * (algorithm.cost(steps, 2)[0] + last_look)

    if asked(spec.steps) <= queries:
        return spec
    steps = bisect_right(range(1, spec.steps + 1), queries, key=asked)
    if not steps:
        raise InputError(f"max-queries {queries} is too few for '{spec.name}', whose first step takes {asked(1):,}.")
    return spec.model_copy(update={"name": f"{spec.name}-within-{queries}", "steps": steps})
