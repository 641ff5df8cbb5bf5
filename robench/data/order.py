"""The order in which `--limit` takes examples: every class in proportion after any number of them."""

import hashlib
from collections.abc import Mapping, Sequence

SEED = 0
"""Seed of the order. It is not the attacks' seed, so that runs with other seeds are paired by example."""


def chosen_ids(name: str, labels: Mapping[int, int] | Sequence[int], ids: Sequence[int], n: int) -> list[int]:
    """Return the n ids that `--limit n` takes, in ascending order; those of a smaller n are among them.

    Args:
        name: of the dataset; the order depends on it.
        labels: the label of every id, indexed by id.
        ids: all ids.
        n: number of ids to take.
    """
    return sorted(_ordered(name, labels, ids)[:n])


def _ordered(name: str, labels: Mapping[int, int] | Sequence[int], ids: Sequence[int]) -> list[int]:
    """Return all ids in a seeded order whose beginnings hold every class in proportion.

    Example j of a class of m examples has the time (j + 1/2) / m, and the ids are sorted by time: classes of one size
    take turns, a larger class comes more often (the method of Sainte-Lague).
    """
    classes: dict[int, list[int]] = {}
    for i in ids:
        classes.setdefault(labels[i], []).append(i)
    timed: list[tuple[float, str, int]] = []
    for label, mine in classes.items():
        turn, size = _hash(name, f"class {label}"), len(mine)
        ranked = sorted(mine, key=lambda i: _hash(name, str(i)))
        timed += [((j + 0.5) / size, turn, ranked[at]) for j, at in enumerate(_spread(size))]
    return [i for *_, i in sorted(timed)]


def _spread(size: int) -> list[int]:
    """Return the numbers from 0 to size - 1, the last first, then by the reversed digits of their distance from it.

    Any permutation gives a fair order, for ranks are hashes. With this one, 1,000 of cifar10-jpeg's 10,000 test images
    are those of the published records, which were chosen as every tenth rank.
    """
    digits = len(str(size - 1))
    return sorted(range(size), key=lambda rank: str(size - 1 - rank).zfill(digits)[::-1])


def _hash(name: str, what: str) -> str:
    return hashlib.sha256(f"{name}/sample/{SEED}/{what}".encode()).hexdigest()
