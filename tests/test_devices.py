"""What is asked of the machine."""

import os
import sys
from pathlib import Path

import pytest
import torch

from robench.devices import release, usable_cores


def resident():
    """Memory of this process in MB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is done")
def test_what_was_freed_in_small_pieces_goes_back():
    pieces = [torch.ones(10_000) for _ in range(5_000)]  # 200 MB; the last is in use behind what is freed
    held = resident()
    last = pieces.pop()
    pieces.clear()
    release()
    assert resident() < held - 150
    assert last.sum() == 10_000


def test_cores_are_those_of_this_process_or_where_nobody_knows_of_the_machine(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 3}, raising=False)
    assert usable_cores() == 2
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert usable_cores() == 8
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1
