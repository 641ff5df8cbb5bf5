"""Parquet files like those of Hugging Face: a column of encoded images, a column of class numbers."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robench.data.about import About
from robench.data.decode import Encoded
from robench.data.decoded_split import split_of
from robench.data.reading import AS_IT_IS, Reading
from robench.data.shards import shards
from robench.data.split import Split
from robench.errors import InputError

IMAGES = ("image", "img", "jpg", "png")
LABELS = ("label", "labels", "fine_label", "class", "cls")


def load(name: str, path: Path, part: str = "test", limit: int | None = None, reading: Reading = AS_IT_IS) -> Split:
    """Load the examples of a split, in the order of its files and their rows.

    Args:
        name: of the dataset.
        path: a file, one of several shards, or their folder; each file has a column of images, bytes or
            {bytes, path}, and a column of integer labels.
        part: 'test'; the files have no training part.
        limit: number of examples from the beginning; None for all.
        reading: sizes and class names.

    Raises:
        InputError: a file or an image is damaged, a column, a label or a shard is missing.
    """
    if part != "test":
        raise InputError(f"'{path}' holds test examples only: train on a dataset with a train part.")
    names: list[str] = []
    data: list[bytes] = []
    labels: list[int] = []
    total = 0
    files = shards(path)
    for file in files:
        left = None if limit is None else max(limit - len(data), 0)
        rows, found, numbers = _rows(file, left, reading)
        total += rows
        names += [f"{file}, row {at}" for at in range(len(found))]
        data += found
        labels += numbers
    about = About(
        source=f"parquet:{files[0]}{f' and {len(files) - 1} other shards' if len(files) > 1 else ''}",
        total=total,
        notes=(reading.how,) if reading.how else (),
    )
    return split_of(name, Encoded.held(names, data), labels, reading, about)


def _rows(path: Path, limit: int | None, reading: Reading) -> tuple[int, list[bytes], list[int]]:
    """Return the number of rows of a file, and the images and labels of its first rows."""
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            image, label = _column(path, schema.names, IMAGES), _column(path, schema.names, LABELS)
            _require_numbers(path, label, schema.field(label).type)
            total, table = file.metadata.num_rows, _first(file, [image, label], limit)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"'{path}' cannot be read ({error}): fetch it again.") from error
    labels = table[label].to_pylist()
    for at, each in enumerate(labels):
        if each is None or each < 0:
            raise InputError(
                f"'{path}', column '{label}', row {at}: {each} is no class number, so the example has no label: "
                "leave such rows out, or name a split with labels."
            )
    by_name = _by_name(path, schema, label, reading)
    if by_name is not None:
        labels = [_renumbered(path, by_name, each) for each in labels]
    return total, [_data(path, image, at, each.as_py()) for at, each in enumerate(table[image])], labels


def _require_numbers(path: Path, column: str, kind: pa.DataType) -> None:
    if not pa.types.is_integer(kind):
        raise InputError(f"'{path}', column '{column}': expected class numbers, found {kind}.")


def _by_name(path: Path, schema: pa.Schema, label: str, reading: Reading) -> list[int] | None:
    """Return the label of each class number of a file, if the file and the user or the dataset name the classes."""
    names = _class_names(schema, label)
    return reading.labels(names, str(path)) if names else None


def _class_names(schema: pa.Schema, label: str) -> list[str]:
    """Return the names that Hugging Face keeps with a column of class numbers; empty if there are none."""
    try:
        held = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        names = held["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return []
    return [str(name) for name in names]


def _renumbered(path: Path, by_name: list[int], label: int) -> int:
    if label >= len(by_name):
        raise InputError(f"'{path}': label {label} is beyond its {len(by_name)} class names: fetch it again.")
    return by_name[label]


def _first(file: pq.ParquetFile, columns: list[str], limit: int | None) -> pa.Table:
    """Read only the row groups that the limit needs."""
    if limit is None:
        return file.read(columns)
    groups: list[int] = []
    rows = 0
    while rows < limit and len(groups) < file.num_row_groups:
        rows += file.metadata.row_group(len(groups)).num_rows
        groups.append(len(groups))
    return file.read_row_groups(groups, columns).slice(0, limit)


def _column(path: Path, names: list[str], known: tuple[str, ...]) -> str:
    for name in known:
        if name in names:
            return name
    raise InputError(f"'{path}' has columns {', '.join(names)}, none of {', '.join(known)}: rename the one to use.")


def _data(path: Path, column: str, at: int, value: Any) -> bytes:
    data = value.get("bytes") if isinstance(value, dict) else value
    if not isinstance(data, bytes):
        raise InputError(f"'{path}', column '{column}', row {at}: no image bytes there; save the images in the file.")
    return data
