"""Adversarial points of one evaluation, in memory or in its records."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robench.store import Column, Header, read

Held = tuple[Column, Column]
"""Ids of broken examples, int64 (n,), and the points of these examples, float32 bytes."""


@dataclass(frozen=True)
class Points:
    """The points of every attack of an evaluation.

    Attributes:
        ids: ids of all evaluated examples in their order, int64 (N,).
        shape: shape of one image, (C, H, W).
        held: the points of each record, or the path of the record to read them from, by the record's hash.
        convert: makes what the caller's images are, a tensor perhaps, from an array.
    """

    ids: Column
    shape: tuple[int, ...]
    held: Mapping[str, Held | Path]
    convert: Callable[[Column], Any]

    def of(self, headers: Sequence[Header]) -> tuple[Any, Any]:
        """Return points and ids of the examples that any of some attacks broke; the first attack's point is taken."""
        found: dict[int, bytes] = {}
        for header in headers:
            held = self.held[header.hash]
            ids, points = read_points(held) if isinstance(held, Path) else held
            for each, point in zip(ids.tolist(), points, strict=True):
                found.setdefault(each, point)
        ids = self.ids[np.isin(self.ids, list(found))]
        x = np.empty((len(ids), *self.shape), dtype=np.float32)
        for at, each in enumerate(ids.tolist()):
            x[at] = np.frombuffer(found[each], dtype="<f4").reshape(self.shape)
        return self.convert(x), self.convert(ids)


def read_points(record: Path) -> Held:
    """Read the points of a record, and the ids of their examples.

    Raises:
        InputError: the record is damaged.
    """
    _, rows = read(record, ["id", "adversarial"])
    there = np.array([point is not None for point in rows.adversarial], dtype=bool)
    return rows.id[there], rows.adversarial[there]
