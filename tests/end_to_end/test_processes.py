"""Commands in a process of their own: plain text, one line for a mistake, a reader that leaves, no pandas."""

import subprocess
import sys

from tests.support.shell import EVAL, PYTHON, shell


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


ALONE = """
import sys, torch, robench
x = torch.rand(4, 1, 8, 8)
robench.evaluate(robench.load_model("pgdat"), x, [0, 1, 2, 3], eps=0.1, attacks=["pgd-20"], results=sys.argv[1])
robench.evaluate(robench.load_model("pgdat"), x, [0, 1, 2, 3], eps=0.1, attacks=["pgd-20"], results=sys.argv[1])
print("pandas" in sys.modules)
"""


def test_an_evaluation_needs_no_pandas(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE, tmp_path], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"
