"""A baseline of two attacks, and no GitHub Actions around."""

import shutil

import pytest

from robench.cli import run
from tests.support.gates import PUBLISHED, SMALL


@pytest.fixture(autouse=True)
def _outside_of_actions(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture(scope="session")
def _small_baseline(tmp_path_factory):
    path = tmp_path_factory.mktemp("baseline") / "pgdat.jsonl"
    assert run([*map(str, SMALL), "--baseline", str(path), "--update"]) == 0
    return path


@pytest.fixture(scope="session")
def _pgdat_now(tmp_path_factory):
    folder = tmp_path_factory.mktemp("now")
    command = ("check", "--model", "pgdat", "--baseline", PUBLISHED / "pgdat.jsonl", "--results", folder)
    assert run([*map(str, command)]) == 0
    return folder


@pytest.fixture
def now(_pgdat_now, tmp_path):
    """Options with which the gate reads pgdat's verdicts under the battery quick instead of running it again."""
    return "--results", shutil.copytree(_pgdat_now, tmp_path / "now")


@pytest.fixture
def baseline(_small_baseline, tmp_path):
    """Records of two attacks on sixty examples, the test's own."""
    return shutil.copy(_small_baseline, tmp_path / "baseline.jsonl")
