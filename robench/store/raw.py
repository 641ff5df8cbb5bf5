"""Raw records: one Parquet file an attack on a defense, written whole or not at all.

results/raw/<dataset>/<model>/<attack>-<hash>.parquet     a finished record
results/raw/<dataset>/<model>/<attack>-<hash>.chunks/     the finished chunks of an unfinished one
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from robench.errors import InputError
from robench.paths import atomic_path
from robench.store.header import SHORT, Header, Record, check_header
from robench.store.rows import Rows

META = b"robench"


class Store:
    """The records under a results folder."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.raw = results / "raw"

    def path(self, header: Header) -> Path:
        """Where a record lies."""
        return self._folder(header) / f"{header.attack.name}-{header.hash[:SHORT]}.parquet"

    def chunks(self, header: Header) -> "Chunks":
        """The finished chunks of a record that is being made."""
        kind = ".chunks-with-points" if header.has_adversarial else ".chunks"
        return Chunks(self.path(header).with_suffix(kind), header.hash)

    def lock(self, header: Header) -> FileLock:
        """Held while a record is made, so that two identical runs share the work; freed when a process dies."""
        folder = self._folder(header) / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{header.hash[:SHORT]}.lock")

    def find(self, header: Header) -> Path | None:
        """The finished record of this header; one with points if they are needed."""
        path = self.path(header)
        if not path.is_file():
            return None
        return path if read_header(path).has_adversarial or not header.has_adversarial else None

    def family(self, header: Header) -> Path | None:
        """A finished record of the same family with at least as many steps, the shortest of them."""
        fitting: list[tuple[int, Path]] = []
        for path in self._paths(self._folder(header)):
            other = read_header(path)
            enough = other.has_adversarial or not header.has_adversarial
            if other.family == header.family and other.attack.steps >= header.attack.steps and enough:
                fitting.append((other.attack.steps, path))
        return min(fitting)[1] if fitting else None

    def write(self, header: Header, rows: Rows) -> Path:
        """Publish a finished record and drop its chunks."""
        path = self.path(header)
        _write(path, rows, header.dump())
        self.chunks(header).remove()
        return path

    def paths(self) -> Iterator[Path]:
        """Every finished record."""
        yield from self._paths(self.raw)

    def records(self) -> Iterator[Record]:
        """Every finished record's verdicts."""
        for path in self.paths():
            header, rows = read(path, ["id", "label", "clean_prediction", "robust", "step"])
            yield Record(header, rows.clean, rows.robust, rows.step, path)

    @staticmethod
    def _paths(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.rglob("*.parquet")):
            if not path.name.startswith(".") and ".chunks" not in path.parent.suffix:
                yield path

    def _folder(self, header: Header) -> Path:
        return self.raw / header.dataset / header.model.rpartition("/")[2]


class Chunks:
    """The chunks of one record; each is a file of rows, named by its first example's position."""

    def __init__(self, folder: Path, hash_: str) -> None:
        self.folder, self.hash = folder, hash_

    def write(self, position: int, rows: Rows, meta: dict[str, Any]) -> None:
        """Publish a finished chunk."""
        _write(self.folder / f"{position:08d}.parquet", rows, {"hash": self.hash, **meta})

    def read(self) -> Iterator[tuple[Rows, dict[str, Any]]]:
        """All finished chunks, each with what it cost."""
        for path in sorted(self.folder.glob("[0-9]*.parquet")):
            table, meta = _read(path)
            if meta.get("hash") != self.hash:
                raise InputError(f"chunk '{path}' belongs to another record: delete its folder and run again.")
            yield _from_table(table), meta

    def remove(self) -> None:
        """Drop them: the record is whole."""
        shutil.rmtree(self.folder, ignore_errors=True)


def read(path: Path, columns: list[str] | None = None) -> tuple[Header, Rows]:
    """A record from disk; columns that were not asked for are empty.

    Raises:
        InputError: truncated, damaged, of a newer schema, or named by another hash than its own.
    """
    table, meta = _read(path, columns)
    header = _header(path, meta)
    if table.num_rows != header.n:
        raise InputError(f"record '{path}' has {table.num_rows} of {header.n} rows: delete it and run again.")
    return header, _from_table(table)


def read_header(path: Path) -> Header:
    """Only the head of a record."""
    return _header(path, _meta(path, _damaged(path, pq.read_schema).metadata))


def _header(path: Path, meta: dict[str, Any]) -> Header:
    header = check_header(meta, f"record '{path}'")
    if not path.stem.endswith(header.hash[:SHORT]):
        raise InputError(f"record '{path}' holds hash {header.hash[:SHORT]}, not the one in its name: delete it.")
    return header


def _write(path: Path, rows: Rows, meta: dict[str, Any]) -> None:
    columns = {name: pa.array(column.tolist() if column.dtype == object else column,
                              type=pa.binary() if name == "adversarial" else None)
               for name, column in rows.columns().items()}  # fmt: skip
    table = pa.table(columns).replace_schema_metadata({META: json.dumps(meta).encode()})
    with atomic_path(path) as temporary:
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def _read(path: Path, columns: list[str] | None = None) -> tuple[pa.Table, dict[str, Any]]:
    table = _damaged(path, lambda p: pq.read_table(p, columns=columns, page_checksum_verification=True))
    return table, _meta(path, table.schema.metadata)


def _damaged(path: Path, reader: Any) -> Any:
    try:
        return reader(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(
            f"record '{path}' is damaged or cut short: delete it and run the same command again."
        ) from error


def _meta(path: Path, metadata: dict[bytes, bytes] | None) -> dict[str, Any]:
    if not metadata or META not in metadata:
        raise InputError(f"'{path}' is a Parquet file but not a robench record: move it elsewhere.")
    meta: dict[str, Any] = json.loads(metadata[META])
    return meta


def _from_table(table: pa.Table) -> Rows:
    def column(name: str) -> np.ndarray[Any, np.dtype[Any]]:
        if name not in table.column_names:
            return np.empty(0)
        if name == "adversarial":
            values = np.empty(table.num_rows, dtype=object)
            values[:] = table[name].to_pylist()
            return values
        array: np.ndarray[Any, np.dtype[Any]] = table[name].to_numpy()
        return array

    return Rows(**{name: column(name) for name in Rows.__dataclass_fields__})
