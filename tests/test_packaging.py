"""The built wheel, away from the checkout."""

import subprocess
import sys
import zipfile

import pytest
from hatchling.build import build_wheel

from robench.paths import data_root

SCRIPT = """
import robench, robench.paths
assert "_data" in str(robench.paths.data_root()), robench.paths.data_root()
assert "digits/pgdat_he" in robench.list_models()
assert "pgd-20" in robench.list_attacks()
assert robench.load_model("pgdat_he").training is False
assert robench.paths.default_results().name == "results"
assert list((robench.paths.data_root() / "results" / "paper").glob("*.csv"))
from robench.cli import run
assert run(["report"]) == 0
assert run(["report", "--format", "html", "--out", "report.html"]) == 0
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(data_root())
        name = build_wheel(str(folder))
    zipfile.ZipFile(folder / name).extractall(folder / "site")
    return folder / "site"


def test_wheel_works_without_the_checkout(installed, tmp_path):
    code = f"import sys; sys.path.insert(0, {str(installed)!r})\n{SCRIPT}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "digits/pgdat_he" in done.stdout


def test_wheel_holds_one_package_only(installed):
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == {"robench"}
