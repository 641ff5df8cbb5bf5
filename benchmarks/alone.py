"""Work measured in a process of its own, and the page that says what came out; shared by the benchmarks."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from robench.devices import usable_cores
from robench.paths import write_text
from robench.report import Table, markdown


class Spent(NamedTuple):
    """What a process took: wall seconds from start to end, seconds of all its cores, its peak memory in GB (GiB), and
    what it printed last.
    """

    seconds: float
    cores: float
    peak: float
    printed: str


def alone(arguments: Sequence[str], environment: Mapping[str, str] = {}) -> Spent:
    """Python with these arguments, to its end."""
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, *arguments], env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
    ) as process:
        printed = process.stdout.read().strip()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode} of: {' '.join(arguments)}")
    return Spent(
        time.perf_counter() - begin, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20, printed.split("\n")[-1]
    )


def machine() -> str:
    """What it ran on, how busy that was, and when."""
    known = Path("/proc/cpuinfo")
    models = [line.split(":")[1].strip() for line in known.read_text().splitlines() if "model name" in line]
    cores = usable_cores()
    return (
        f"{models[0] if models else platform.processor()}, {cores} of {os.cpu_count()} cores, "
        f"{os.environ.get('OMP_NUM_THREADS', 'all')} threads of torch, no GPU; load of the machine at the end "
        f"{os.getloadavg()[1]:.1f} (5 minutes); {datetime.now(UTC):%Y-%m-%d}"
    )


def write_page(path: Path, title: str, command: str, about: str, tables: Sequence[Table]) -> None:
    """A heading, the command and what it does, the tables, the machine; printed and written."""
    text = "\n".join([f"# {title}\n", f"`{command}`\n", about, "", *map(markdown, tables), f"{machine()}.\n"])
    print(text)
    write_text(path, text)
