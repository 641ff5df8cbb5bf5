"""Raw records: one Parquet file per attack and defense, written whole or not at all.

results/raw/<dataset>/<model>/<attack>-<hash>.parquet     a finished record
results/raw/<dataset>/<model>/<attack>-<hash>.chunks/     the finished chunks of an unfinished one; see under_way
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock

from robench.errors import InputError
from robench.paths import atomic_path
from robench.specs import digest, is_declared
from robench.store.arrow import as_arrow, as_column
from robench.store.header import SCHEMA, SHORT, Header, Record, check_header
from robench.store.rows import RIGHT, Column, Rows, ids_sha256

META = b"robench"
POINTS = "adversarial"
MEND = "delete it and run the same command again"
DAMAGE = (pa.ArrowException, OSError, ValueError, KeyError)
"""The errors that pyarrow raises for damaged or truncated files."""


class Store:
    """The records under a results folder."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.raw = results / "raw"

    def path(self, header: Header) -> Path:
        """Return the path of a record."""
        return self._folder(header) / f"{header.attack.name}-{header.hash[:SHORT]}.parquet"

    def chunks(self, header: Header) -> "Chunks":
        """Return the finished chunks of a record that is being computed."""
        kind = ".chunks-with-points" if header.has_adversarial else ".chunks"
        return Chunks(self.path(header).with_suffix(kind), header.hash)

    def lock(self, header: Header) -> FileLock:
        """Return the lock to hold while a record is computed, so that two identical runs share the work.

        If a process dies, the operating system frees its lock.
        """
        folder = self._folder(header) / ".locks"
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / f"{header.hash[:SHORT]}.lock")

    def find(self, header: Header) -> Path | None:
        """Return the path of the finished record of this header, or None; if points are needed, it must have them."""
        path = self.path(header)
        if not path.is_file():
            return None
        return path if read_header(path).has_adversarial or not header.has_adversarial else None

    def family(self, header: Header, notice: Callable[[str], None]) -> Path | None:
        """Return the path of the shortest finished record of the same family with at least as many steps, or None."""
        fitting: list[tuple[int, Path]] = []
        for path, other in self._headers(self._folder(header), notice):
            enough = other.has_adversarial or not header.has_adversarial
            if other.family == header.family and other.attack.steps >= header.attack.steps and enough:
                fitting.append((other.attack.steps, path))
        return min(fitting)[1] if fitting else None

    def write(self, header: Header, rows: Rows) -> Path:
        """Write a finished record and remove its chunks; return the path."""
        path = self.path(header)
        _write(path, rows, header.dump())
        self.chunks(header).remove()
        return path

    def paths(self) -> Iterator[Path]:
        """Yield the path of every finished record."""
        yield from self._paths(self.raw)

    def records(self) -> Iterator[Record]:
        """Yield every finished record with its verdicts."""
        for path in self.paths():
            header, rows = read(path, ["id", "label", "clean_prediction", "robust", "step", "queries"])
            yield Record.of(header, rows, path)

    def beside(self, header: Header, notice: Callable[[str], None]) -> list[str]:
        """Return the names of the attacks that have records like this one: only the attack differs."""
        kin = (other for _, other in self._headers(self._folder(header), notice))
        alike = (other.attack for other in kin if _but_attack(other) == _but_attack(header))
        return sorted({attack.name for attack in alike if is_declared(attack)})

    def _headers(self, folder: Path, notice: Callable[[str], None]) -> Iterator[tuple[Path, Header]]:
        """Yield the headers in a folder.

        A record that cannot be read is skipped with a notice: a damaged record of another attack must not stop a run.
        """
        for path in self._paths(folder):
            try:
                header = read_header(path)
            except InputError as error:
                notice(str(error))
                continue
            yield path, header

    @staticmethod
    def _paths(folder: Path) -> Iterator[Path]:
        for path in sorted(folder.rglob("*.parquet")):
            if not path.name.startswith(".") and ".chunks" not in path.parent.suffix:
                yield path

    def _folder(self, header: Header) -> Path:
        return self.raw / header.dataset / header.model.rpartition("/")[2]


def _but_attack(header: Header) -> dict[str, Any]:
    return {key: value for key, value in header.identity.items() if key != "attack"}


class Chunks:
    """The chunks of one record; each chunk is a file of rows, named by the position of its first example."""

    def __init__(self, folder: Path, hash_: str) -> None:
        self.folder, self.hash = folder, hash_

    def write(self, position: int, rows: Rows, meta: dict[str, Any]) -> None:
        """Write a finished chunk, with `meta` in its header."""
        _write(self.folder / f"{position:08d}.parquet", rows, {"hash": self.hash, **meta})

    def read(self) -> Iterator[tuple[Rows, dict[str, Any]]]:
        """Yield the rows of all finished chunks, each with the `meta` it was written with."""
        for path in sorted(self.folder.glob("[0-9]*.parquet")):
            table, meta = _read(path)
            if meta["hash"] != self.hash:
                raise InputError(f"chunk '{path}' belongs to another record: delete its folder and run again.")
            yield _from_table(table), meta

    def remove(self) -> None:
        """Remove all chunks of a record that is finished."""
        shutil.rmtree(self.folder, ignore_errors=True)


def read(path: Path, columns: list[str] | None = None) -> tuple[Header, Rows]:
    """Read a record from disk; if `columns` is given, all other columns are empty.

    Raises:
        InputError: the record is truncated, damaged, of a newer schema, or its name has another hash than its header.
    """
    header = read_header(path)
    if columns is not None and header.draws:
        columns = [*columns, RIGHT]
    table, _ = _read(path, columns)
    if table.num_rows != header.n:
        raise InputError(f"record '{path}' has {table.num_rows} of {header.n} rows: {MEND}.")
    rows = _from_table(table)
    if len(rows.id) and ids_sha256(rows.id) != header.identity["data"]["ids"]:
        raise InputError(f"record '{path}' holds other examples than its header says, or another order: {MEND}.")
    return header, rows


def read_header(path: Path) -> Header:
    """Read only the header of a record.

    Raises:
        InputError: the record is damaged, of a newer schema, or its name has another hash than its header.
    """
    meta = _meta(path)
    header = check_header(meta["header"], f"record '{path}'")
    if not path.stem.endswith(header.hash[:SHORT]):
        raise InputError(f"record '{path}' holds hash {header.hash[:SHORT]}, not the one in its name: {MEND}.")
    return header


def _write(path: Path, rows: Rows, header: dict[str, Any]) -> None:
    """Write rows with a header, a checksum of every column, and a seal: the digest of header and checksums."""
    checksums = {name: checksum(column) for name, column in rows.columns().items()}
    body = {"header": header, "columns": checksums}
    meta = {META: json.dumps({**body, "seal": digest(body)}).encode()}
    columns = {name: as_arrow(column) for name, column in rows.columns().items()}
    with atomic_path(path) as temporary:
        pq.write_table(
            pa.table(columns).replace_schema_metadata(meta), temporary, compression="zstd", write_page_checksum=True
        )


def _read(path: Path, columns: list[str] | None = None) -> tuple[pa.Table, dict[str, Any]]:
    meta = _meta(path)
    try:
        with pq.ParquetFile(path) as file:  # `read_table` would load pyarrow's code for datasets
            table = file.read(columns, use_threads=False)
    except DAMAGE as error:
        raise _damaged(path) from error
    found = _from_table(table)
    for name in meta["columns"] if columns is None else columns:
        column: Column = getattr(found, name, np.empty(0))
        absent = name not in table.column_names or (column.dtype == object and name != POINTS)
        if absent or checksum(column) != meta["columns"].get(name):
            raise _damaged(path)
    return table, meta["header"]


def _meta(path: Path) -> dict[str, Any]:
    """Read the metadata of a record, and check its seal."""
    try:
        metadata = pq.read_schema(path).metadata or {}
    except DAMAGE as error:
        raise _damaged(path) from error
    if META not in metadata:
        raise InputError(f"'{path}' is a Parquet file but not a robench record: move it elsewhere.")
    try:
        meta: dict[str, Any] = json.loads(metadata[META])
        if meta.get("schema") == 1:  # the header alone, as the first version wrote it
            raise InputError(f"record '{path}' was written before records had checksums: {MEND}.")
        body = {"header": meta["header"], "columns": meta["columns"]}
        intact = meta["seal"] == digest(body)
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _damaged(path) from error
    schema = meta["header"].get("schema", SCHEMA) if isinstance(meta["header"], dict) else SCHEMA
    if not intact and not (isinstance(schema, int) and schema > SCHEMA):
        raise _damaged(path)
    return meta


def _damaged(path: Path) -> InputError:
    return InputError(f"record '{path}' is damaged or cut short: {MEND}.")


def checksum(column: Column) -> str:
    """Return the SHA-256 of a column's type, length and values, in hex."""
    total = hashlib.sha256(f"{column.dtype.str} {len(column)}".encode())
    if column.dtype == object:
        for value in column.tolist():
            total.update(b"none" if value is None else f"{len(value)} ".encode() + value)
    else:
        total.update(np.ascontiguousarray(column).tobytes())
    return total.hexdigest()


def _from_table(table: pa.Table) -> Rows:
    def column(name: str) -> Column:
        if name not in table.column_names:
            return np.empty(0)
        return as_column(table[name])

    return Rows(**{name: column(name) for name in Rows.__dataclass_fields__})
