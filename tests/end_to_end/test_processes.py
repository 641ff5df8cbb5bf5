"""Commands in a process of their own: plain text, one line for a mistake, a reader that leaves."""

import subprocess

import pytest

from tests.support.shell import EVAL, PYTHON, shell


@pytest.mark.slow
def test_a_process_evaluates_and_writes_plain_text(tmp_path):
    done = shell(*EVAL, "--results", tmp_path)
    assert done.returncode == 0
    assert "worst case" in done.stdout
    assert "pgd-20" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_process_ends_a_mistake_with_one_line_and_2():
    done = shell("eval", "--model", "pgdta")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("robench: unknown model 'pgdta': did you mean digits/pgdat, digits/pgdat_")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_leaves_early_is_no_failure():
    with subprocess.Popen([*PYTHON, "list", "attacks"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        error = process.stderr.read()
        process.wait(timeout=30)
    assert (process.returncode, error) == (0, b"")
