"""The points that published records lack: examples that count as broken and have no point on file."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.store import Column, Header, Record, Store, read, read_file, read_header
from robench.store.points import Groups, PointsKey, points_path, read_points_file

IdsOf = Callable[[Header], Column | None]
"""Returns the ids of the examples of a record in their order; None if they are not known."""


@dataclass(frozen=True)
class Lack:
    """The points that one network's published records of one file lack.

    Attributes:
        published: the file of the records.
        model: the name of the network.
        broken: number of examples that a record counts as broken, once for each ball.
        missing: ids of the examples without a point.
    """

    published: Path
    model: str
    broken: int
    missing: dict[PointsKey, set[int]]

    @property
    def number(self) -> int:
        """The number of examples without a point."""
        return sum(map(len, self.missing.values()))

    def __str__(self) -> str:
        return (
            f"{self.model}: {self.number} of {self.broken} broken examples have no point on file: "
            "evaluate with --save-adversarial, then publish again."
        )


def lacks(published: Iterable[Path], models: Sequence[str], ids_of: IdsOf) -> list[Lack]:
    """Find the points that published records lack, one result for each network, also if it lacks none.

    Args:
        published: files of published records.
        models: names of the networks to look at.
        ids_of: names the examples; records of unknown examples are left out.
    """
    found = []
    for path in published:
        wanted = needed((record for record in read_file(path) if record.header.model in models), ids_of)
        there = on_file(path)
        for model in sorted({key.model for key in wanted}):
            mine = {key: ids for key, ids in wanted.items() if key.model == model}
            missing = {key: ids - there.get(key, {}).keys() for key, ids in mine.items()}
            found.append(Lack(path, model, sum(map(len, mine.values())), {k: ids for k, ids in missing.items() if ids}))
    return found


def needed(records: Iterable[Record], ids_of: IdsOf) -> dict[PointsKey, set[int]]:
    """Return the ids of all examples that a record counts as broken; records of unknown examples are left out."""
    wanted: dict[PointsKey, set[int]] = {}
    for record in records:
        ids = ids_of(record.header)
        if ids is not None:
            broken = ids[record.clean & ~record.robust].tolist()
            wanted.setdefault(PointsKey.of(record.header), set()).update(broken)
    return wanted


def on_file(published: Path) -> Groups:
    """Read the points of a file of published records; none if they have no points.

    Raises:
        InputError: the file of points is damaged.
    """
    path = points_path(published)
    return read_points_file(path) if path.is_file() else {}


def raw_headers(results: Path) -> dict[Path, Header]:
    """Read the header of every raw record."""
    return {path: read_header(path) for path in Store(results).paths()}


def raw_ids(headers: Mapping[Path, Header]) -> IdsOf:
    """Return a function that knows the examples of all records of which a raw record has the same examples.

    Args:
        headers: headers of the raw records.
    """
    known: dict[str, Path] = {}
    for path, header in headers.items():
        known.setdefault(header.identity["data"]["ids"], path)
    held: dict[str, Column] = {}

    def ids_of(header: Header) -> Column | None:
        key = header.identity["data"]["ids"]
        if key in known and key not in held:
            held[key] = read(known[key], ["id"])[1].id
        return held.get(key)

    return ids_of


def offers(headers: Mapping[Path, Header], lack: Lack) -> list[tuple[Path, PointsKey]]:
    """Return the raw records with points for examples that lack one.

    Args:
        headers: headers of the raw records.
        lack: the points that published records lack.
    """
    found = []
    for path, header in headers.items():
        if not header.has_adversarial or PointsKey.of(header) not in lack.missing:
            continue
        _, rows = read(path, ["id", "label", "clean_prediction", "robust"])
        if lack.missing[PointsKey.of(header)] & set(rows.id[rows.clean & ~rows.robust].tolist()):
            found.append((path, PointsKey.of(header)))
    return found
