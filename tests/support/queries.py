"""Records with planted numbers of queries."""

from typing import Any

import numpy as np

from robench.algorithms import bind
from robench.specs import ThreatModel, digest, find_attack, find_card
from robench.store import Header, Record

FIRST = [0, 3, 3, 50, 700, None, None, None, None, None]
"""One example misclassified clean, four broken, five robust."""


def planted(attack="square", first=FIRST, model="digits/pgdat", kept=True):
    """A record whose examples were first broken after so many queries (0: misclassified clean, None: never)."""
    spec, n = find_attack(attack), len(first)
    params = bind(spec).parameters
    identity: dict[str, Any] = {
        "model": find_card(model).identity(),
        "data": {"name": "digits", "n": n},
        "attack": {**spec.identity(), "params": params, "version": 1},
        "threat": {"norm": "linf", "eps": 0.2},
        "seed": 0,
        "precision": "fp32",
    }
    kin = {key: value for key, value in identity["attack"].items() if key != "steps"}
    header = Header(
        hash=digest(identity), family=digest({**identity, "attack": kin}), identity=identity, dataset="digits",
        model=model, attack=spec, threat=ThreatModel.parse("linf", "0.2"), seed=0, n=n, precision="fp32", device="cpu",
        versions={}, created="2025-01-01T00:00:00+00:00",
    )  # fmt: skip
    asked = np.array([-1 if each is None else each for each in first])
    robust = asked < 0
    return Record(header, asked != 0, robust, np.minimum(asked, 1), queries=asked if kept else None)
