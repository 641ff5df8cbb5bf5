"""Fixtures that many tests share: real parts only. `tests/conftest.py` loads them."""

import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from hatchling.build import build_wheel

from robench import paths
from robench.classifiers import load_model
from robench.classifiers.frozen import frozen_network
from robench.cli import run
from robench.data import find_dataset
from robench.data.split import Split
from robench.specs import catalog
from tests.support.networks import CPU
from tests.support.quick_weights import quick_weights
from tests.support.reading import parsed_once
from tests.support.shell import SMALL, Said

# One thread: the networks are tiny, and several processes of several threads on few cores hold each other up.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session", autouse=True)
def _records_and_options_are_parsed_once():
    with parsed_once():
        yield


@pytest.fixture(scope="session", autouse=True)
def _weights_are_quick():
    with quick_weights():
        yield


@pytest.fixture(scope="session", autouse=True)
def _files_are_not_synced():
    """To wait for a disk at every record takes a tenth of the time; what no test can cut off is the machine's power."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)
        yield


MEMORY, ENOUGH = Path("/dev/shm"), 2**30


@pytest.fixture(scope="session", autouse=True)
def _short_lived_folders_are_in_memory(tmp_path_factory):
    """An evaluation without a results folder makes one and removes it: on a disk that takes as long as an attack."""
    tmp_path_factory.getbasetemp()  # stays where it is: what tests keep there may be large
    fast = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ENOUGH
    with (
        tempfile.TemporaryDirectory(prefix="robench-tests-", dir=MEMORY if fast else None) as folder,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setattr(tempfile, "tempdir", folder)
        patch.setenv("TMPDIR", folder)
        yield


@pytest.fixture(scope="session")
def digits() -> Split:
    return find_dataset("digits").load("test")


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """The built wheel, unpacked: what an installation holds."""
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(paths.data_root())
        patch.setattr(zlib, "Z_DEFAULT_COMPRESSION", zlib.Z_NO_COMPRESSION)  # thirty megabytes take seconds
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


@pytest.fixture
def cli(capsys):
    """Runs a command in this process, its output caught as a pipe would."""

    def call(*arguments: object) -> Said:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        caught = capsys.readouterr()
        return Said(code, caught.out, caught.err)

    return call


@pytest.fixture(scope="session")
def _small_results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    assert run([*map(str, SMALL), "--results", str(folder)]) == 0
    return folder


@pytest.fixture
def results(_small_results, tmp_path):
    """A results folder with two finished records with points, the test's own."""
    return shutil.copytree(_small_results, tmp_path / "results")


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
