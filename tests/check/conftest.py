"""A baseline of two attacks, and no GitHub Actions around."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from robench.cli import run
from tests.support.gates import PUBLISHED, QUICK, SMALL
from tests.support.marks import slow


@pytest.fixture(autouse=True)
def _outside_of_actions(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)


@pytest.fixture(scope="session")
def _small_baseline(tmp_path_factory):
    path = tmp_path_factory.mktemp("baseline") / "pgdat.jsonl"
    assert run([*map(str, SMALL), "--baseline", str(path), "--update"]) == 0
    return path


@dataclass(frozen=True)
class Now:
    """What the gate finds of pgdat, on all examples.

    Attributes:
        attacks: the names of the attacks.
        last: the last of them, which is iterative.
        command: the gate, which reads its verdicts from a folder instead of running the attacks again.
    """

    attacks: Sequence[str]
    last: str
    command: tuple[object, ...]


@pytest.fixture(scope="session")
def _pgdat_now(tmp_path_factory):
    @cache
    def ran(command: tuple[str, ...]) -> Path:
        folder = tmp_path_factory.mktemp("now")
        assert run([*command, "--baseline", str(PUBLISHED / "pgdat.jsonl"), "--results", str(folder)]) == 0
        return folder

    return ran


TWO = ("fgsm", "bim-10")


@pytest.fixture(params=[pytest.param((TWO, "bim-10"), id="two attacks"), slow((QUICK, "pgd-20"), id="quick")])
def now(request, _pgdat_now, tmp_path):
    """Verdicts of now: of two short attacks, or, slower, of the battery quick, which is the gate's own choice."""
    attacks, last = request.param
    command: tuple[str, ...] = ("check", "--model", "pgdat")
    if attacks == TWO:
        command += ("--attack", TWO[0], "--attack", TWO[1])
    return Now(attacks, last, (*command, "--results", shutil.copytree(_pgdat_now(command), tmp_path / "now")))


@pytest.fixture
def baseline(_small_baseline, tmp_path):
    """Records of two attacks on thirty examples, the test's own."""
    return shutil.copy(_small_baseline, tmp_path / "baseline.jsonl")
