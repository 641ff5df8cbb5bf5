"""A process whose allocator gives no more."""

import subprocess
import sys

import pytest

from robench.paths import data_root
from tests.support.toys import evaluate

GREEDY = """
import resource, sys, torch
from tests.support.toys import Toy, evaluate
from robench.devices import out_of_memory

torch.set_num_threads(1)

def greedy(logits, x):
    return logits + 0 * x.flatten(1)[:, :1].expand(-1, 2**22).exp().mean(1, keepdim=True)  # 16 MB an image

model = Toy(greedy)
evaluate()  # whatever is loaded on the way is loaded now
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 180 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    model(torch.zeros(12, 1, 4, 4).requires_grad_())
    sys.exit("twelve images do fit")
except RuntimeError as error:
    if not out_of_memory(error):
        raise
record = evaluate(model, batch_size=12, chunk_size=12).results[0].record
print(record.robust.tolist(), record.step.tolist())
"""
"""Twelve images under a PGD whose micro-batch would need more than the allocator gives."""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs a limit on memory that the allocator meets")
def test_an_allocator_that_gives_no_more_changes_no_verdict():
    command = [sys.executable, "-c", GREEDY]
    done = subprocess.run(command, cwd=data_root(), capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    free = evaluate(batch_size=12, chunk_size=12).results[0].record
    assert done.stdout.split("] [")[0].count("True") == free.robust.sum() > 0
    assert done.stdout == f"{free.robust.tolist()} {free.step.tolist()}\n"
    assert not free.robust.all()
