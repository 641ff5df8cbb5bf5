"""What tests of the command line share."""

import subprocess
import sys

PYTHON = (sys.executable, "-m", "robench")
EVAL = ("eval", "--model", "pgdat", "--attack", "pgd-20", "--limit", 20)
RESULT_KEYS = {
    "dataset", "model", "attack", "norm", "eps", "n", "clean_accuracy", "robust_accuracy", "ci_low", "ci_high",
    "forwards", "backwards", "seconds", "valid", "trust", "spec_hash", "record",
}  # fmt: skip
WORST_KEYS = {"dataset", "model", "norm", "eps", "n", "robust_accuracy", "ci_low", "ci_high", "attacks", "trust"}


def shell(*arguments, **options):
    return subprocess.run(
        [*PYTHON, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, **options
    )
