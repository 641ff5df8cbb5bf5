"""Points of published records: results/<dataset>/points/<model>.npz, which `robench verify --published` judges again.

A point belongs to a network, an example and a ball, not to one attack: every published record that says "broken" of the
example is confirmed by it. The file is an ordinary .npz file without times of writing: the same points give the same
bytes. `header.json` names the groups of points, and the SHA-256 of everything; group 0 has the arrays

- 0.ids, 0.levels, 0.step, 0.classes: one value per point, in the order of the ids, as in `grid.Point`;
- 0.coarse, 0.fine, 0.exact: the values of the points in int8, int16 and float32, each in the order of the ids.
"""

import hashlib
import io
import json
import lzma
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from robench.errors import InputError
from robench.paths import atomic_path
from robench.specs import NORMS, Norm, digest
from robench.specs.base import canonical
from robench.store.grid import BYTE, EXACT, Point
from robench.store.header import Header
from robench.store.rows import Column

FOLDER = "points"
SCHEMA = 1
HEADER, SHA256 = "header.json", "sha256"
EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The time of every entry of a file, the earliest that a zip file can name."""
KINDS: dict[str, Any] = {"coarse": np.int8, "fine": np.int16, "exact": np.float32}
MEND = "restore it, or delete it and publish again from records that were made with --save-adversarial"
DAMAGE = (zipfile.BadZipFile, lzma.LZMAError, OSError, EOFError, KeyError, ValueError, TypeError, AttributeError)

NOT_RANDOM = -1
"""Seed of the judge's draws if the network is not random."""


class PointsKey(NamedTuple):
    """The settings that a point is good for.

    Attributes:
        model: the name of the network.
        network: digest of the identity of the network.
        weights: SHA-256 of the weights, if the identity names it.
        dataset, sha256: name and SHA-256 of the whole set of examples.
        norm, eps: the ball.
        target: the class that attacks aimed at, as in a header.
        mask: SHA-256 of the mask; empty without one.
        draws_seed: seed of the draws with which the judge asks a random network; `NOT_RANDOM` for any other network.
    """

    model: str
    network: str
    weights: str
    dataset: str
    sha256: str
    norm: Norm
    eps: float
    target: str = ""
    mask: str = ""
    draws_seed: int = NOT_RANDOM

    @classmethod
    def of(cls, header: Header) -> "PointsKey":
        """Return the key of the points that can confirm a record."""
        network, data = header.identity["model"], header.identity["data"]
        return cls(
            header.model,
            digest(network),
            str(network.get("weights", "")),
            header.dataset,
            str(data.get("sha256", "")),
            header.threat.norm,
            header.threat.eps,
            header.target,
            header.mask.sha256 if header.mask else "",
            header.seed if header.draws else NOT_RANDOM,
        )

    def said(self) -> dict[str, Any]:
        """Return the key as JSON-ready data, without a seed if the network is not random."""
        said = self._asdict()
        return said if self.draws_seed != NOT_RANDOM else {name: said[name] for name in said if name != "draws_seed"}


Groups = dict[PointsKey, dict[int, Point]]
"""Points by what they are good for, then by the id of the example."""


def points_path(published: Path) -> Path:
    """Return the path of the points of a file of published records."""
    return published.parent / FOLDER / f"{published.stem}.npz"


def write_points(path: Path, groups: Mapping[PointsKey, Mapping[int, Point]]) -> None:
    """Write points, whole or not at all; groups without points are left out."""
    kept = sorted((key, group) for key, group in groups.items() if group)
    arrays: dict[str, Column] = {}
    for place, (_, group) in enumerate(kept):
        arrays |= {f"{place}.{name}": array for name, array in _arrays(group).items()}
    header: dict[str, Any] = {
        "schema": SCHEMA,
        "groups": [{**key.said(), "points": len(group)} for key, group in kept],
    }
    header[SHA256] = _sha256(header, arrays)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as file:
        _add(file, HEADER, (json.dumps(header, indent=1) + "\n").encode(), zipfile.ZIP_STORED)
        for name, array in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, array, allow_pickle=False)
            _add(file, f"{name}.npy", content.getvalue(), zipfile.ZIP_LZMA)


def read_points_file(path: Path) -> Groups:
    """Read points, and check that they are what was written.

    Raises:
        InputError: the file is missing, damaged or of a newer schema.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            header = json.loads(file[HEADER])
            schema = header["schema"]
            newer = isinstance(schema, int) and schema > SCHEMA
            arrays = {} if newer else {name: file[name] for name in file.files if name != HEADER}
        if not newer:
            said = header.pop(SHA256)
            if said != _sha256(header, arrays):
                raise ValueError("another SHA-256")
            return {_key(each): _group(place, each, arrays) for place, each in enumerate(header["groups"])}
    except FileNotFoundError as error:
        raise InputError(f"'{path}' is missing: {MEND}.") from error
    except DAMAGE as error:
        raise InputError(f"the points in '{path}' are damaged: {MEND}.") from error
    raise InputError(f"'{path}' has schema {schema}, this robench reads up to {SCHEMA}: update robench.")


def _arrays(group: Mapping[int, Point]) -> dict[str, Column]:
    points = [group[each] for each in sorted(group)]
    width = len(points[0].values)
    values = {name: [p.values for p in points if p.values.dtype == kind] for name, kind in KINDS.items()}
    return {
        "ids": np.array(sorted(group), dtype="<i8"),
        "levels": np.array([point.levels for point in points], dtype="<i4"),
        "step": np.array([point.step for point in points], dtype="<f8"),
        "classes": np.array([point.predicted for point in points], dtype="<i4"),
        **{
            name: np.array(found, dtype=np.dtype(KINDS[name]).newbyteorder("<")).reshape(len(found), width)
            for name, found in values.items()
        },
    }


def _group(place: int, said: Mapping[str, Any], arrays: Mapping[str, Column]) -> dict[int, Point]:
    mine = {name: arrays[f"{place}.{name}"] for name in ("ids", "levels", "step", "classes", *KINDS)}
    rows = {name: iter(mine[name]) for name in KINDS}
    columns = [mine[name].tolist() for name in ("ids", "levels", "step", "classes")]
    found = {
        each: Point(levels, step, next(rows[_kind(levels)]), predicted)
        for each, levels, step, predicted in zip(*columns, strict=True)
    }
    if len(found) != said["points"]:
        raise ValueError(f"{len(found)} points, not {said['points']}")
    return found


def _kind(levels: int) -> str:
    if levels == EXACT:
        return "exact"
    return "coarse" if levels <= BYTE else "fine"


def _key(said: Mapping[str, Any]) -> PointsKey:
    if said["norm"] not in NORMS:
        raise ValueError(f"unknown norm {said['norm']}")
    return PointsKey(**{name: said[name] for name in PointsKey._fields if name in said or name != "draws_seed"})


def _add(file: zipfile.ZipFile, name: str, content: bytes, compression: int) -> None:
    entry = zipfile.ZipInfo(name, EARLIEST)
    entry.compress_type, entry.create_system, entry.external_attr = compression, 3, 0o644 << 16
    file.writestr(entry, content)


def _sha256(header: Mapping[str, Any], arrays: Mapping[str, Column]) -> str:
    total = hashlib.sha256(canonical(dict(header)).encode())
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype.str} {array.shape}".encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()
