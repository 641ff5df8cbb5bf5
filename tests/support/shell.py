"""The command line, in this process or in another, and what it answers."""

import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

PYTHON = (sys.executable, "-m", "robench")
EVAL = ("eval", "--model", "pgdat", "--attack", "pgd-20", "--limit", 20)
SMALL = ("eval", "--model", "pgdat", "--attack", "pgd-20", "--attack", "mim-20", "--limit", 20, "--save-adversarial")
"""The command whose records the fixture `results` holds."""
RESULT_KEYS = {
    "dataset", "model", "attack", "norm", "eps", "target", "mask", "n", "clean_accuracy", "robust_accuracy",
    "normalisation", "ci_low", "ci_high", "forwards", "backwards", "seconds", "valid", "trust", "spec_hash", "record",
}  # fmt: skip
WORST_KEYS = {
    "dataset",
    "model",
    "norm",
    "eps",
    "target",
    "mask",
    "n",
    "robust_accuracy",
    "ci_low",
    "ci_high",
    "attacks",
    "trust",
}


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def sentence(self) -> str:
        """The only line on stderr: one sentence, no traceback."""
        assert re.fullmatch(r"robench: \S[^\n]*[.?]\n", self.err), self.err
        return self.err

    @property
    def last(self) -> str:
        """The sentence below the progress lines."""
        assert "Traceback" not in self.err, self.err
        line = self.err.rpartition("\n")[0].rpartition("\n")[2]
        assert re.fullmatch(r"robench: \S.*[.?]", line), self.err
        return line


def shell(*arguments: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command in a process of its own."""
    return subprocess.run(
        [*PYTHON, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, **options
    )
