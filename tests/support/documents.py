"""Documents whose blocks of code are executed: README, docs/."""

import re
import shlex

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FAILS = '|| echo "exit code $?"'
"""End of a shell command that shows the exit code of a failure."""


def blocks(text):
    """Language and text of each block of code, in order."""
    return BLOCK.findall(text)


def commands(block):
    """The words of each command of a bash block, and whether the document says that the command fails."""
    lines = block.replace("\\\n", " ").splitlines()
    return [(shlex.split(line.removesuffix(FAILS)), line.endswith(FAILS)) for line in lines if line.strip()]
