"""The built wheel, away from the checkout."""

import subprocess
import sys

SCRIPT = """
import sys, torch, robench, robench.paths
assert "_data" in str(robench.paths.data_root()), robench.paths.data_root()
assert "digits/pgdat_he" in robench.list_models()
assert "pgd-20" in robench.list_attacks()
assert robench.load_model("pgdat_he").training is False
assert robench.paths.default_results().name == "results"
assert list((robench.paths.data_root() / "results" / "paper").glob("*.csv"))
from robench.cli import run
for _ in range(2):  # attacked, then read from disk
    network, x = robench.load_model("pgdat"), torch.full((4, 1, 8, 8), 0.5)
    robench.evaluate(network, x, [0, 1, 2, 3], eps=0.1, attacks=["fgsm"], results="mine")
assert "pandas" not in sys.modules, "an evaluation needs no pandas"
assert run(["report"]) == 0  # of what is shipped, which takes seconds to draw: the page is of what was evaluated
assert run(["report", "--format", "html", "--results", "mine", "--out", "report.html"]) == 0
"""


def test_wheel_works_without_the_checkout(installed, tmp_path):
    code = f"import sys; sys.path.insert(0, {str(installed)!r})\n{SCRIPT}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "digits/pgdat_he" in done.stdout


def test_wheel_holds_one_package_only(installed):
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == {"robench"}
