"""What needs no network imports no torch: Python's names, tables and commands, one after the other in one process."""

import json
import subprocess
import sys

import pytest

from robench.paths import data_root
from robench.store import write_file
from tests.support.queries import planted

SCRIPT = """
import json, sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from tests.support.reading import parsed_once

found = {}
with parsed_once():
    for name, code in json.loads(sys.stdin.read()).items():
        out, err, names = StringIO(), StringIO(), {}
        with redirect_stdout(out), redirect_stderr(err):
            exec(code, names)
        torch, code = "torch" in sys.modules, names.get("code")
        found[name] = {"torch": torch, "code": code, "out": out.getvalue(), "err": err.getvalue()}
print(json.dumps(found))
"""
PYTHON = {
    "the names": "import robench; robench.AttackSpec; robench.InputError",
    "tables": "import robench; robench.table('table2'); robench.leaderboard()",
    "every table": "from robench.report.everything import everything; list(everything('digits'))",
}
COMMANDS = [
    ["list", "models"],
    ["list", "attacks"],
    ["list", "batteries"],
    ["list", "datasets"],
    ["show", "model", "pgdat"],
    ["report", "--results", "RESULTS"],
    ["report", "--format", "html", "--results", "RESULTS"],
    ["report", "queries", "--results", "QUERIES"],
    ["publish", "--results", "RESULTS"],
    ["diff", "pgdat", "pgdat_he"],
    ["check", "--model", "nobody"],
    ["check", "--max-drop", "-1"],
    ["eval", "--model", "nobody"],
    ["eval", "--model", "pgdat", "--eps", "8"],
    ["--help"],
]


@pytest.fixture
def black_box(tmp_path):
    """Results of one attack that counts queries and of one that does not."""
    write_file(tmp_path / "queries" / "digits" / "pgdat.jsonl", [planted("square"), planted("pgd-20")])
    return tmp_path / "queries"


def test_nothing_of_it_imports_torch(cli, results, black_box):
    assert cli("publish", "--results", results).code == 0
    places = {"RESULTS": str(results), "QUERIES": str(black_box)}
    steps = dict(PYTHON)
    for command in COMMANDS:
        words = [places.get(word, word) for word in command]
        steps[" ".join(command)] = f"from robench.cli import run; code = run({words!r})"
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(steps), capture_output=True, text=True, check=False,
        cwd=data_root(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert list(found) == list(steps)
    assert [name for name, step in found.items() if step["torch"]] == []
    queries = found["report queries --results QUERIES"]
    assert (queries["code"], queries["err"]) == (0, "")
    assert "digits/pgdat square" in queries["out"]
    assert queries["out"] in cli("report", "--results", black_box).out
