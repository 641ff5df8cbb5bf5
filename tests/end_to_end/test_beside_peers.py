"""The benchmark against other libraries: processes in turns, what they cost, one judge, plain words for the bars."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.peers.case import Case, Effort, in_batches
from benchmarks.peers.environments import ROOT
from benchmarks.peers.turns import Costs, Worker, ratio
from benchmarks.peers.with_robench import declared
from benchmarks.peers.worker import ProgressActor, Setup
from benchmarks.peers_report import verdict


@pytest.fixture(scope="module")
def case():
    return Case.of("digits/pgdat", 40)


def costs(cpu, accuracy, peak):
    return Costs([9.0] * len(cpu), cpu, [100] * len(cpu), [accuracy] * len(cpu), 10.0, peak)


@pytest.mark.slow
def test_robench_and_autoattack_in_turns(tmp_path):
    out = tmp_path / "report.md"
    command = ["--model", "digits/pgdat", "--attack", "apgd-ce:20", "--rounds", "2", "--batch-size", "8", "--out", out]
    script = [sys.executable, "-m", "benchmarks.beside_peers", "--here", "--library", "pyautoattack", *command]
    subprocess.run(script, check=True, timeout=300, cwd=ROOT)
    text = out.read_text()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| apgd")]
    assert [row[2] for row in rows] == ["robench", "pyautoattack"]
    ours, theirs = rows
    assert ours[:2] == ["apgd-ce, linf 0.2", "20"]
    assert 0 < float(ours[7]) <= 100
    assert abs(float(ours[7]) - float(theirs[7])) <= 10
    assert ours[5] == "1.00 (1.00)"
    assert int(theirs[6].replace(",", "")) > 20 * 50
    peak, idle = theirs[8].rstrip(")").split(" (")
    assert float(peak) >= float(idle) > 50
    assert "apgd-ce: pyautoattack, the fastest peer, takes" in text
    assert "pyautoattack 0." in text


@pytest.mark.slow
def test_a_worker_that_fails_is_named_with_its_last_words(tmp_path):
    setup = Setup("digits/nothing", "none.npz", "linf", "0.2", 10, 8, "cpu", "fp32", 1, {})
    with pytest.raises(SystemExit, match=r"robench failed:[\s\S]*none.npz"):
        Worker("robench", Path(sys.executable), setup)


def test_points_outside_the_ball_break_nothing_and_the_misclassified_are_broken(case):
    assert case.robust_accuracy(case.x) == 100 * len(case.x) / case.total
    far = 1 - case.x
    assert case.wrong(far).any()
    assert case.robust_accuracy(far) == case.robust_accuracy(case.x)
    mislabelled = replace(case, y=(case.y + 1) % 10)
    assert mislabelled.robust_accuracy(case.x) == 0
    assert len(mislabelled.right().x) == 0


def test_the_meter_counts_images_in_batches(case):
    meter = ProgressActor()
    small = replace(case, batch=7)
    points = in_batches(lambda part, seed: (part.model(part.x), part.x)[1])(small, 0)
    meter.hook.remove()
    assert torch.equal(points, case.x)
    assert meter.forwards == len(case.x)


def test_what_is_declared_is_as_long_as_asked_for():
    effort = Effort(iterations=50, queries=100, spsa_steps=3, zoo_updates=7)
    found = {name: declared(name, effort) for name in ("square", "spsa", "zoo", "cw-l2", "pgd-20", "autoattack")}
    assert [spec.steps for spec in found.values()] == [99, 3, 7, 450, 20, 457]
    assert found["cw-l2"].params == {"iterations": 50}
    assert found["autoattack"].name == "cascade"


def test_ratios_are_taken_round_by_round():
    assert ratio([2.0, 9.0, 8.0], [1.0, 3.0, 2.0]) == 3.0


@pytest.mark.parametrize(
    ("cpu", "accuracy", "peak", "words"),
    [
        ([4.0, 4.0], 50.0, 200.0, ["takes 2.00 times as long; bar 2 met", "+0.00 points, at most +0.2 met", "0.50 of"]),
        ([3.0, 3.0], 50.0, 200.0, ["takes 1.50 times as long; bar 2 missed"]),
        ([4.0, 4.0], 49.0, 200.0, ["+1.00 points, at most +0.2 missed"]),
        ([4.0, 4.0], 50.0, 80.0, ["1.25 of lean's, the leanest, at most 1.1 missed"]),
    ],
)
def test_bars_in_words(cpu, accuracy, peak, words):
    found = {
        "robench": costs([2.0, 2.0], 50.0, 100.0),
        "slow": costs([9.0, 9.0], 40.0, 300.0),
        "lean": costs(cpu, accuracy, peak),
    }
    said = verdict("deepfool", found, "cpu", 2.0)
    assert said.startswith("deepfool: lean, the fastest peer, ")
    for part in words:
        assert part in said
