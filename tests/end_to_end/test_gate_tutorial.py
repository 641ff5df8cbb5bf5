"""docs/gate.md, every block in order, in an empty folder: from a network to a failing pull request."""

import re
import runpy
import sys
import xml.etree.ElementTree as ET

import pytest

from robench.paths import data_root
from tests.support.documents import FAILS, blocks, commands

TUTORIAL = data_root() / "docs" / "gate.md"
WORKFLOW = data_root() / "examples" / "github-workflow.yml"


def run_script(path, arguments, monkeypatch):
    """Run a Python file as `python FILE ARGUMENTS` does, in this process."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", [str(path), *arguments])
        patch.syspath_prepend(path.parent)
        runpy.run_path(str(path), run_name="__main__")
    for name in [file.stem for file in path.parent.glob("*.py")]:
        sys.modules.pop(name, None)  # the script's own imports


@pytest.mark.skipif(not TUTORIAL.is_file(), reason="a wheel has no docs beside it")
def test_the_tutorial_runs_as_written_and_ends_in_a_failing_pull_request(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    summary = tmp_path / "summary.md"
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    written, failures = "", 0
    for language, block in blocks(TUTORIAL.read_text(encoding="utf-8")):
        if language == "python":
            (tmp_path / re.match(r"# (\w+\.py)\n", block)[1]).write_text(block, encoding="utf-8")
        elif language == "text":
            for line in block.splitlines():
                assert line in written, f"{line}\n\n{written}"
        else:
            written = ""
            for (program, *words), fails in commands(block):
                if program == "python":
                    run_script(tmp_path / words[0], words[1:], monkeypatch)
                    continue
                assert program == "robench"
                said = cli(*words)
                assert said.code == (1 if fails else 0), said.err
                written += said.out + (f"exit code {said.code}\n" if fails else "")
                if fails:
                    failures += 1
                    assert said.out.count("::error title=robench check%3A data/mine::") == 1
                    assert "### FAILED: 8 of 8 cells" in summary.read_text()
                    assert int(ET.parse("robench.xml").getroot().get("failures")) == 8
    assert failures == 1
    assert int(ET.parse("robench.xml").getroot().get("failures")) == 0


def the_line(path):
    """The command of a pull request in a document or workflow, without its program."""
    found = re.findall(r"robench (check --model .*--junit robench\.xml)$", path.read_text(encoding="utf-8"), re.M)
    return {line for line in found if FAILS not in line}


@pytest.mark.skipif(not TUTORIAL.is_file(), reason="a wheel has no docs beside it")
def test_tutorial_readme_and_workflow_show_the_same_lines():
    (line,) = the_line(TUTORIAL)
    assert the_line(WORKFLOW) == the_line(data_root() / "README.md") == {line}
    comments = [each.lstrip("# ") for each in WORKFLOW.read_text().splitlines() if each.startswith("#   robench ")]
    init, update = comments
    tutorial = TUTORIAL.read_text(encoding="utf-8")
    assert init.replace("net.py", "mynet.py") in tutorial
    assert update in tutorial
