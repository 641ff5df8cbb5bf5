"""Ctrl-C in a process of its own: exit code 130, one sentence, and what was finished is kept."""

import json
import signal
import subprocess
import time
from contextlib import contextmanager

import pytest

from tests.support.shell import PYTHON


def heed_ctrl_c():
    """As in a terminal: a job in the background inherits that Ctrl-C is ignored."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def started(*command):
    """A command under way, killed at the latest when the test ends."""
    process = subprocess.Popen(
        [*PYTHON, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_ctrl_c,  # noqa: PLW1509
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def pressed(process):
    """Press Ctrl-C; what the process said afterwards."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    return said


def test_ctrl_c_exits_130_and_keeps_finished_attacks(cli, tmp_path):
    options = ("--model", "pgdat", "--limit", 20, "--results", tmp_path)
    attacks = ("--attack", "mim-20", "--attack", "adaptive-pgd-500")
    with started("eval", *options, *attacks) as process:
        assert "20 of 540 images" in process.stderr.readline()
        assert "mim-20" in process.stderr.readline()  # finished; each attack locks its record before it begins
        deadline = time.monotonic() + 60
        while len([*tmp_path.rglob("*.lock")]) < 2:
            assert time.monotonic() < deadline, "the second attack never began"
            time.sleep(0.01)
        said = pressed(process)
    assert said.startswith("robench: interrupted: what was finished is kept")
    assert said.count("\n") == 1
    assert not list(tmp_path.rglob("adaptive-pgd-500-*.parquet"))
    again = json.loads(cli("eval", *options, "--attack", "mim-20", "--json", "-").out)
    assert again["results"][0]["forwards"] == 0


@pytest.mark.slow
@pytest.mark.parametrize("kept", [True, False], ids=["results kept", "nothing kept"])
def test_ctrl_c_in_the_gate_says_what_was_kept(tmp_path, kept):
    where = ("--results", tmp_path) if kept else ()
    with started("check", "--model", "pgdat", "--battery", "quick", *where) as process:
        assert any("fgsm" in line for line in process.stderr)
        said = pressed(process)
    assert ("what was finished is kept" if kept else "nothing was kept") in said
