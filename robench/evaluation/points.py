"""Put points of raw records on file beside published records, each on the coarsest grid that the judge confirms."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from robench.evaluation.published import Bench, rule
from robench.report.points_on_file import Lack, on_file
from robench.report.publish import locked
from robench.store import Header, Rows, read, read_file
from robench.store.grid import EXACT, Point, grids
from robench.store.points import Groups, PointsKey, points_path, write_points


def file_points(offered: Sequence[tuple[Path, PointsKey]], lack: Lack, bench: Bench) -> int:
    """Add the points that published records lack, from raw records; points on file stay. Return how many were added.

    Points of networks and balls that no published record has any more are removed.

    Args:
        offered: raw records with such points, and what these are good for (`offers`).
        lack: the published records.
        bench: network and examples.

    Raises:
        InputError: network or clean images are not there, or a file is damaged.
    """
    found: dict[PointsKey, dict[int, Point]] = {}
    for path, key in offered:
        header, rows = read(path)
        taken = found.setdefault(key, {})
        wanted = lack.missing[key] - taken.keys()
        at = [k for k in np.flatnonzero(rows.clean & ~rows.robust).tolist() if int(rows.id[k]) in wanted]
        if at:
            taken |= confirmed(bench, header, path, rows.take(np.array(at)))
    with locked(lack.published):
        before = on_file(lack.published)
        served = {PointsKey.of(record.header) for record in read_file(lack.published)}
        after = {key: found.get(key, {}) | before.get(key, {}) for key in served}
        if _names(after) != _names(before):
            write_points(points_path(lack.published), after)
    return len(_names(after) - _names(before))


def confirmed(bench: Bench, header: Header, path: Path, rows: Rows) -> dict[int, Point]:
    """Return the points of some rows of a raw record that the judge confirms, by id.

    A point on a grid must break the network by more than rounding, so that other machines confirm it, too; an exact
    point must break it.

    Args:
        bench: loads network and clean images.
        header, path: the raw record.
        rows: rows with points.
    """
    key, found = PointsKey.of(header), dict[int, Point]()
    clean, mask = bench.rows(header, path, rows)
    shape = tuple(clean.x.shape[1:])
    points = [np.frombuffer(blob, "<f4").reshape(shape) for blob in rows.adversarial]
    ways = [grids(x.numpy(), point, key.norm, key.eps) for x, point in zip(clean.x, points, strict=True)]
    # A success with a target is predicted as the target, so the stored prediction names it.
    target = torch.from_numpy(rows.prediction) if key.target else None
    left = np.arange(len(points))
    with bench.network(header) as network:
        while len(left):
            tried = [(k, next(ways[k], None)) for k in left.tolist()]
            there = {k: point for k, point in tried if point is not None}
            left = np.array(list(there), dtype=np.int64)
            at = torch.from_numpy(left)
            here = (None if each is None else each[at] for each in (mask, target))
            ruling = rule(network, key, clean.take(left), list(there.values()), *here)
            good = ruling.clear.numpy() | ruling.confirmed.numpy() & [each.levels == EXACT for each in there.values()]
            for k, predicted in zip(left[good].tolist(), ruling.prediction.numpy()[good].tolist(), strict=True):
                found[int(rows.id[k])] = replace(there[k], predicted=predicted)
            left = left[~good]
    return found


def _names(groups: Groups) -> set[tuple[PointsKey, int]]:
    return {(key, each) for key, points in groups.items() for each in points}
