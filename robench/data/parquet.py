"""Parquet files like those of Hugging Face: a column of encoded images, a column of class numbers."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from robench.data.about import About
from robench.data.decode import Encoded
from robench.data.decoded_split import split_of
from robench.data.reading import AS_IT_IS, Reading
from robench.data.shards import shards
from robench.data.split import Split, first_rows
from robench.errors import InputError, reason

IMAGES = ("image", "img", "jpg", "png")
LABELS = ("label", "labels", "fine_label", "class", "cls")


def load(name: str, path: Path, part: str = "test", limit: int | None = None, reading: Reading = AS_IT_IS) -> Split:
    """Load the examples of a split, in the order of its files and their rows.

    Args:
        name: of the dataset.
        path: a file, one of several shards, or their folder; each file has a column of images, bytes or
            {bytes, path}, and a column of class numbers.
        part: 'test'; the files have no training part.
        limit: number of examples to choose and decode; None for all.
        reading: sizes and class names.

    Raises:
        InputError: a file or an image is damaged, a column, a label or a shard is missing.
    """
    if part != "test":
        raise InputError(f"'{path}' holds test examples only: train on a dataset with a train part.")
    files = shards(path)
    columns = [_labels(file, reading) for file in files]
    labels = [label for column in columns for label in column]
    rows = first_rows("", labels, limit)
    names: list[str] = []
    data: list[bytes] = []
    begin = 0
    for file, column in zip(files, columns, strict=True):
        places = [row - begin for row in rows if begin <= row < begin + len(column)]
        names += [f"{file}, row {at}" for at in places]
        data += _images(file, places)
        begin += len(column)
    about = About(
        source=f"parquet:{files[0]}{f' and {len(files) - 1} other shards' if len(files) > 1 else ''}",
        total=len(labels),
        classes=_unmatched(files[0], reading),
        notes=(reading.how,) if reading.how else (),
    )
    images = Encoded.held(names, data)
    return split_of(name, images, [labels[row] for row in rows], reading, about, rows).noted(len(labels))


def _labels(path: Path, reading: Reading) -> list[int]:
    """Return the labels of all rows of a file."""
    try:
        with pq.ParquetFile(path) as file:
            schema = file.schema_arrow
            _column(path, schema.names, IMAGES)
            label = _column(path, schema.names, LABELS)
            _require_numbers(path, label, schema.field(label).type)
            labels: list[Any] = file.read([label])[label].to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"'{path}' cannot be read ({reason(error)}): fetch it again.") from error
    for at, each in enumerate(labels):
        if each is None or not 0 <= each < math.inf:
            raise InputError(
                f"'{path}', column '{label}', row {at}: {each} is no class number, so the example has no label: "
                "leave such rows out, or name a split with labels."
            )
        if each != int(each):
            raise InputError(f"'{path}', column '{label}', row {at}: {each} is no whole number: save class numbers.")
    labels = [int(each) for each in labels]
    by_name = _by_name(path, schema, label, reading)
    return labels if by_name is None else [_renumbered(path, by_name, each) for each in labels]


def _images(path: Path, rows: Sequence[int]) -> list[bytes]:
    """Return the encoded images of some rows, which are in ascending order; other row groups are not read."""
    found: list[bytes] = []
    begin = 0
    try:
        with pq.ParquetFile(path) as file:
            image = _column(path, file.schema_arrow.names, IMAGES)
            for group in range(file.num_row_groups):
                end = begin + file.metadata.row_group(group).num_rows
                wanted = [row for row in rows if begin <= row < end]
                if wanted:
                    column = file.read_row_group(group, [image])[image].take([row - begin for row in wanted])
                    found += [_data(path, image, at, each.as_py()) for at, each in zip(wanted, column, strict=True)]
                begin = end
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"'{path}' cannot be read ({reason(error)}): fetch it again.") from error
    return found


def _require_numbers(path: Path, column: str, kind: pa.DataType) -> None:
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise InputError(f"'{path}', column '{column}': expected class numbers, found {kind}: save class numbers.")


def _by_name(path: Path, schema: pa.Schema, label: str, reading: Reading) -> list[int] | None:
    """Return the label of each class number of a file, if the file and the user or the dataset name the classes."""
    names = _class_names(schema, label)
    if reading.classes and not names:
        raise InputError(f"'{path}' names no classes, its labels are numbers: leave --classes out.")
    return reading.labels(names, str(path)) if names else None


def _unmatched(path: Path, reading: Reading) -> tuple[str, ...]:
    """Return the class names of a file whose labels are its own numbers; empty if it names none, or labels are by name.

    Raises:
        InputError: names do not fit.
    """
    schema = pq.read_schema(path)
    names = _class_names(schema, _column(path, schema.names, LABELS))
    return tuple(names) if names and reading.labels(names, str(path)) is None else ()


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
