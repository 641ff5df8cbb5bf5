"""What is asked of the machine."""

import sys
from pathlib import Path

import pytest
import torch

from robench.devices import release


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
