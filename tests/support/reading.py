"""Published files and the command line, parsed once in a session: more than a thousand records, a hundred times."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import typer.main

from robench.store import Record, corrupted, published
from robench.store.sealed import Line, read_sealed


class Known(dict[str, Any]):
    """The data of a line, and the content of its file with the line's place in it."""

    key: tuple[str, str]


@contextmanager
def parsed_once() -> Iterator[None]:
    """Keep the lines of sealed files by the files' contents, so that a changed file is read anew; no error is kept."""
    files: dict[str, list[tuple[str, Line]]] = {}
    records: dict[tuple[str, str], Record] = {}
    cells: dict[tuple[str, str], Any] = {}

    def read(path: Path, mend: str) -> Iterator[tuple[str, Line]]:
        name = f"'{path}'"
        try:
            content = sha256(path.read_bytes()).hexdigest()
        except OSError:
            content = ""
        if content not in files:
            lines = [(where.removeprefix(name), data) for where, data in read_sealed(path, mend)]
            files[content] = lines
        for place, data in files[content]:
            line = Known(data)
            line.key = (content, place)
            yield name + place, line

    def record(data: Line, where: str, path: Path | None = None) -> Record:
        if not isinstance(data, Known):
            return from_data(data, where, path)
        if data.key not in records:
            records[data.key] = from_data(data, where)
            _ = records[data.key].model_identity, records[data.key].comparison_key
        found = copy(records[data.key])
        found.path = path
        for name in ("clean", "robust", "step", "queries"):
            setattr(found, name, copy(getattr(found, name)))
        return found

    def cell(data: Line, where: str) -> Any:
        if not isinstance(data, Known):
            return checked(data, where)
        if data.key not in cells:
            cells[data.key] = checked(data, where)
        return cells[data.key]

    from_data, checked = published.from_data, corrupted._checked
    parsers: list[tuple[str, Callable[..., Any]]] = [
        ("published.read_sealed", read),
        ("published.from_data", record),
        ("corrupted.read_sealed", read),
        ("corrupted._checked", cell),
    ]
    with pytest.MonkeyPatch.context() as patch:
        for name, parser in parsers:
            patch.setattr(f"robench.store.{name}", parser)
        patch.setattr(typer.main, "get_command", cache(typer.main.get_command))
        yield
