"""The rule which verdicts the gate compares: two identities must agree in everything but the network and the seed.

The network is the subject of the comparison. The seed changes random starts only, and verdicts stay paired by example.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FREE = ("model", "seed")
"""Keys of an identity that may differ."""
NAMES = {"data.name": "dataset"}
SHOWN = 3
"""Number of fields that a sentence spells out."""
HASH, SHORT = 64, 12
ABSENT = "absent"


@dataclass(frozen=True)
class Field:
    """A key of two identities with its two values as JSON; if one identity lacks the key, its value is `absent`."""

    name: str
    before: str
    after: str

    def clause(self, first: str, second: str) -> str:
        """Return a clause like `threat.eps is 0.1 in the baseline and 0.2 here`.

        Args:
            first, second: the phrases for the two places, like `in the baseline`.
        """
        return f"{self.name} is {_short(self.before)} {first} and {_short(self.after)} {second}"


def differing(before: Mapping[str, Any], after: Mapping[str, Any], free: Sequence[str] = FREE) -> list[Field]:
    """Return the fields in which two identities differ, in the order of their names; `free` keys are ignored."""
    first, second = (
        dict(_leaves({key: value for key, value in identity.items() if key not in free}))
        for identity in (before, after)
    )
    pairs = {name: (first.get(name, ABSENT), second.get(name, ABSENT)) for name in sorted({*first, *second})}
    return [Field(NAMES.get(name, name), *values) for name, values in pairs.items() if values[0] != values[1]]


def fields_text(fields: Sequence[Field], first: str, second: str) -> str:
    """Return the first fields in words, and the number of the others; `first` and `second` as in `Field.clause`."""
    more = f", and {len(fields) - SHOWN} more fields differ" if len(fields) > SHOWN else ""
    return ", ".join(field.clause(first, second) for field in fields[:SHOWN]) + more


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping) and inner:
            yield from _leaves(inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", json.dumps(inner)


def _short(text: str) -> str:
    """Shorten a hash to its first digits, and strip the quotes of a text."""
    bare = text.strip('"')
    return f"{bare[:SHORT]}..." if len(bare) == HASH else bare
