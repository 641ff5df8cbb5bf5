"""Shared networks and shortcuts: real parts only."""

import json
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hatchling.build import build_wheel
from torch import Tensor, nn

from robench import paths
from robench.classifiers import load_model
from robench.classifiers.frozen import frozen_network
from robench.cli import run
from robench.data import find_dataset
from robench.data.split import Split
from robench.paths import data_root
from robench.specs import catalog, digest
from robench.store import raw

CPU = torch.device("cpu")
# One thread: the networks are tiny, and several processes of several threads on few cores hold each other up.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def digits() -> Split:
    return find_dataset("digits").load("test")


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The built wheel, unpacked: what an installation holds."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(data_root())
        name = build_wheel(str(folder))
    zipfile.ZipFile(folder / name).extractall(folder / "site")
    return folder / "site"


@pytest.fixture
def pgdat():
    with frozen_network(load_model("pgdat"), CPU) as frozen:
        yield frozen


@pytest.fixture
def pgdat_he():
    with frozen_network(load_model("pgdat_he"), CPU) as frozen:
        yield frozen


class Linear(nn.Module):
    """Two classes: logits (0, w x + b); class 1 where w x + b > 0."""

    def __init__(self, w: Tensor, b: float) -> None:
        super().__init__()
        self.w = nn.Parameter(w.clone())
        self.b = b

    def forward(self, x: Tensor) -> Tensor:
        f = x.flatten(1) @ self.w + self.b
        return torch.stack([torch.zeros_like(f), f], 1)


# ---- The command line and its records (test_cli.py, test_faults.py) ----


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The only line on stderr: one sentence, no traceback."""
        assert re.fullmatch(r"robench: \S[^\n]*[.?]\n", self.err), self.err
        return self.err

    @property
    def last(self) -> str:
        """The sentence below the progress lines."""
        assert "Traceback" not in self.err, self.err
        line = self.err.rpartition("\n")[0].rpartition("\n")[2]
        assert re.fullmatch(r"robench: \S.*[.?]", line), self.err
        return line


@pytest.fixture
def cli(capsys):
    """Runs a command in this process, its output caught as a pipe would."""

    def call(*arguments: object) -> Said:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        caught = capsys.readouterr()
        return Said(code, caught.out, caught.err)

    return call


SMALL = ("eval", "--model", "pgdat", "--attack", "pgd-20", "--attack", "mim-20", "--limit", 20, "--save-adversarial")
"""The command whose records `results` holds."""


@pytest.fixture(scope="session")
def _small_results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    assert run([*map(str, SMALL), "--results", str(folder)]) == 0
    return folder


@pytest.fixture
def results(_small_results, tmp_path):
    """A results folder with two finished records with points, the test's own."""
    return shutil.copytree(_small_results, tmp_path / "results")


def raw_record(results: Path, attack: str = "pgd-20") -> Path:
    (path,) = (results / "raw").glob(f"*/*/{attack}-*.parquet")
    return path


def change_column(path: Path, name: str, change: Callable[[list[Any]], list[Any]]) -> None:
    """Rewrite a column of a record and seal it again, as a careful forger would."""
    table = pq.read_table(path)
    field = table.schema.field(name)
    changed = pa.array(change(table[name].to_pylist()), field.type)
    seal(path, table.set_column(table.column_names.index(name), field, changed))


def change_header(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Rewrite the header of a record, keep its rows and seal it again; bytes are written as they are."""
    table = pq.read_table(path)
    header = change(json.loads(table.schema.metadata[b"robench"])["header"])
    if isinstance(header, bytes):
        pq.write_table(table.replace_schema_metadata({b"robench": header}), path)
    else:
        seal(path, table, header)


def seal(path: Path, table: pa.Table, header: Any = None) -> None:
    header = json.loads(table.schema.metadata[b"robench"])["header"] if header is None else header
    columns = {name: raw.checksum(table[name].to_numpy()) for name in table.column_names if name != "adversarial"}
    body = {"header": header, "columns": columns}
    text = json.dumps({**body, "seal": digest(body)}).encode()
    pq.write_table(table.replace_schema_metadata({b"robench": text}), path)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout of the test's own: its catalogue can be changed."""
    root = tmp_path / "checkout"
    for name in ("attacks", "models"):
        shutil.copytree(paths.data_root() / name, root / name)
    (root / "robench").mkdir()
    (root / "pyproject.toml").touch()
    caches = (paths.data_root, catalog._attacks, catalog._batteries)
    monkeypatch.setattr(paths, "PACKAGE", root / "robench")
    for cached in caches:
        cached.cache_clear()
    yield root
    monkeypatch.undo()
    for cached in caches:
        cached.cache_clear()


def copy_card(folder: Path, *changes: tuple[str, str], model: str = "pgdat") -> Path:
    """A registered defense copied to `folder`, with changes to the text of its card."""
    shutil.copytree(data_root() / "models" / "digits" / model, folder)
    path = folder / "card.toml"
    text = path.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    path.write_text(text)
    return path
