"""The built wheel carries its types to whoever installs it."""

import re
import shutil
import subprocess
import sys
import venv
from importlib.util import find_spec

import pytest

RIGHT = """import robench
report: robench.Evaluation = robench.evaluate(len, [[0.0]], [0], eps="8/255", attacks=["pgd-20"])
accuracy: float = report.worst_case.robust_accuracy
"""
WRONG = """version: int = robench.__version__
report.worst_kase
robench.evaluate(len, [[0.0]], [0], eps="8/255", attacks=[20])
"""


@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is in the extra `dev`")
def test_a_type_checker_tells_right_from_wrong_calls(installed, tmp_path):
    venv.create(tmp_path / "venv", symlinks=True)
    (packages,) = (tmp_path / "venv").glob("lib/python*/site-packages")
    shutil.copytree(installed / "robench", packages / "robench")
    (tmp_path / "user.py").write_text(RIGHT + WRONG)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", tmp_path / "cache"]
    done = subprocess.run(
        [*mypy, "--python-executable", tmp_path / "venv" / "bin" / "python", "user.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    found = re.findall(r"user\.py:(\d): error: .* \[([a-z-]+)\]", done.stdout)
    assert found == [("4", "assignment"), ("5", "attr-defined"), ("6", "list-item")], done.stdout + done.stderr
