"""Attacks, memory, disks, locks and signals: one clear sentence, the right exit code, nothing lost.

The numbers are those of the list of faults.
"""

import json
import resource
from contextlib import contextmanager
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import torch

from robench.algorithms.mim import MIM
from robench.algorithms.pgd import PGD
from robench.store import read
from tests.support.records import raw_record
from tests.support.shell import EVAL
from tests.support.toys import Interrupted, Toy, X, evaluate, interrupted, refusal

# ---- 7: too few classes ----


def test_an_attack_that_needs_more_classes_is_skipped_and_the_others_run(monkeypatch):
    monkeypatch.setattr(PGD, "min_classes", 4)
    two = Toy(classes=2)
    report = evaluate(two, y=two(X).argmax(1), attacks=["pgd-20", "mim-20"])
    assert [result.record.header.attack.name for result in report.results] == ["mim-20"]
    (skipped,) = report.skipped
    assert skipped.name == "pgd-20"
    assert "4 classes" in skipped.reason
    assert "has 2" in skipped.reason


def test_a_command_whose_attacks_are_all_skipped_says_why(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(PGD, "min_classes", 11)
    said = cli(*EVAL, "--results", tmp_path)
    assert said.code in (0, 3)
    assert "pgd-20: skipped, pgd needs at least 11 classes" in said.err
    assert "Traceback" not in said.err


# ---- 9: algorithms that break their promises ----


def plant(monkeypatch, spoil):
    """Make PGD promise to keep its own bounds, and break the promise."""

    class Planted(PGD):
        bounds = "own"

        def step(self, state, t, task):
            return replace(state, x=spoil(super().step(state, t, task).x, task))

    monkeypatch.setattr("robench.algorithms.pgd.ALGORITHM", Planted)


SPOILT = {
    "not finite": lambda x, task: x * torch.nan,
    "outside the ball": lambda x, task: (task.x + 10 * (x - task.x)).clamp(0, 1),
    "outside [0, 1]": lambda x, task: task.ball.project(x) - 0.01 * (task.ball.project(x) == 0),
}


@pytest.mark.parametrize("fault", SPOILT)
def test_an_algorithm_whose_results_are_all_void_is_named_and_exits_4(cli, tmp_path, monkeypatch, fault):
    plant(monkeypatch, SPOILT[fault])
    command = ("eval", "--model", "standard", "--attack", "bim-10", "--limit", 20, "--results", tmp_path)
    said = cli(*command, "--json", tmp_path / "out.json")
    assert said.code == 4
    for word in ("bim-10", "digits/standard", fault):
        assert word in said.last
    (row,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert row["valid"] is False
    assert row["robust_accuracy"] == row["clean_accuracy"]


def test_an_algorithm_that_sometimes_fails_is_named_and_its_faults_are_not_counted(cli, tmp_path, monkeypatch):
    def odd(x, task):
        rows = torch.tensor([i % 2 == 1 for i in task.random.ids])
        return torch.where(rows.view(-1, 1, 1, 1), torch.nan, task.ball.project(x))

    plant(monkeypatch, odd)
    command = ("eval", "--model", "standard", "--attack", "bim-10", "--limit", 20, "--results", tmp_path)
    said = cli(*command, "--json", tmp_path / "out.json")
    assert said.code == 0
    assert "the judge did not confirm" in said.out
    assert "not finite" in said.out
    (row,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert row["valid"] is False
    _, rows = read(raw_record(tmp_path, "bim-10"))
    odd_and_attacked = rows.clean & (rows.id % 2 == 1)
    assert rows.robust[odd_and_attacked].all()
    assert not rows.valid[odd_and_attacked].any()
    assert rows.valid[~odd_and_attacked].all()


# ---- 10: memory ----


class Small(Toy):
    """A network whose memory holds only so many images; the largest micro-batch is no part of its state."""

    largest = 0

    def __init__(self, room, error=torch.OutOfMemoryError):
        super().__init__()
        self.room, self.error = room, error
        Small.largest = 0

    def forward(self, x):
        if len(x) > self.room:
            raise self.error("CUDA out of memory. Tried to allocate 2 GiB.")
        Small.largest = max(Small.largest, len(x))
        return super().forward(x)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
@pytest.mark.parametrize("room", [1, 3, 5])
def test_out_of_memory_halves_the_micro_batch_and_changes_no_verdict(room, error):
    small, calm = Small(room, error), evaluate()
    verdicts = evaluate(small, batch_size=8)
    assert Small.largest == {1: 1, 3: 2, 5: 4}[room]  # micro-batches of 1, 2, 4
    for column in ("robust", "step"):
        ours, theirs = (getattr(v.results[0].record, column).tolist() for v in (verdicts, calm))
        assert ours == theirs
    assert verdicts.results[0].forwards == calm.results[0].forwards


def test_out_of_memory_at_one_example_says_so():
    text = refusal(Small(0))
    assert "out of memory with a single example" in text
    assert "smaller" in text


def test_another_runtime_error_is_not_mistaken_for_memory():
    def answer(logits, x):
        raise RuntimeError("some other fault")

    with pytest.raises(Exception, match="some other fault"):
        evaluate(Toy(answer))


# ---- 12: nowhere to write ----


def test_doctor_names_a_results_folder_that_cannot_be_made_among_the_rest(cli, tmp_path):
    (tmp_path / "file").write_text("kept")
    said = cli("doctor", "--results", tmp_path / "file")
    assert said.code == 3
    assert f"PROBLEM: cannot write to '{tmp_path / 'file'}" in said.out
    assert "PROBLEM" in said.sentence


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_results_folder_that_cannot_be_made_is_refused_at_once(cli, tmp_path, place):
    (tmp_path / "file").write_text("kept")
    said = cli(*EVAL, "--results", tmp_path / place)
    assert (said.code, said.out) == (2, "")
    for word in (str(tmp_path / place), "--results", "name a"):
        assert word in said.sentence
    assert (tmp_path / "file").read_text() == "kept"


@contextmanager
def files_of_at_most(size):
    """As on a full disk, larger files cannot be written."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_refused_before_the_attack(cli, tmp_path):
    with files_of_at_most(1000):
        said = cli(*EVAL, "--results", tmp_path)
    assert (said.code, said.out) == (2, "")
    assert "cannot write to" in said.sentence
    assert "free some space" in said.sentence
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_disk_that_fills_up_on_the_way_is_one_sentence_and_leaves_no_scraps(cli, tmp_path):
    command = ("eval", "--model", "standard", "--attack", "pgd-20", "--limit", 200, "--results", tmp_path)
    with files_of_at_most(30_000):
        said = cli(*command, "--save-adversarial")
    assert not list(tmp_path.rglob(".tmp-*"))
    assert said.code == 2
    assert "cannot write" in said.last
    assert cli(*command).code == 0


# ---- 13: locks ----


# ---- 19: Ctrl-C ----


def test_ctrl_c_keeps_finished_chunks_and_the_same_call_goes_on(tmp_path, monkeypatch):
    kept = interrupted(tmp_path, monkeypatch)
    assert 0 < len(kept) < 4
    spent = sum(pq.read_table(path, columns=["forwards"])["forwards"].to_numpy().sum() for path in kept)
    resumed, undisturbed = evaluate(Interrupted(), chunk_size=3, results=tmp_path), evaluate()
    assert resumed.results[0].forwards == undisturbed.results[0].forwards - spent
    for column in ("robust", "step"):
        ours, theirs = (getattr(v.results[0].record, column).tolist() for v in (resumed, undisturbed))
        assert ours == theirs
    assert not list(tmp_path.rglob("*.chunks*"))


def test_ctrl_c_in_a_command_exits_130_and_says_that_nothing_is_lost(cli, tmp_path, monkeypatch):
    def press(self, state, t, task):
        raise KeyboardInterrupt

    monkeypatch.setattr(MIM, "step", press)
    command = ("eval", "--model", "pgdat", "--attack", "pgd-20", "--attack", "mim-20", "--limit", 20)
    said = cli(*command, "--results", tmp_path)
    assert said.code == 130
    assert raw_record(tmp_path, "pgd-20").is_file()
    assert not list(tmp_path.rglob(".tmp-*"))
    assert "interrupted" in said.last
    assert "kept" in said.last
