"""An attack that draws once for its whole batch has one verdict under one hash, however the work is cut."""

import numpy as np
import pytest

import robench
from robench.data import digits
from robench.evaluation import run
from robench.store.raw import Chunks
from tests.support.marks import slow

N = 24
ATTACK = robench.AttackSpec(
    name="one-part", algorithm="autoattack", params={"parts": ["apgd-ce"]}, steps=1, about="", cite=""
)


@pytest.fixture(scope="module")
def examples():
    split = digits.load("test")
    return split.x[:N], split.y[:N]


def verdicts(examples, **options):
    x, y = examples
    network = robench.load_model("pgdat_he")
    done = robench.evaluate(network, x, y, eps="0.2", attacks=[ATTACK], device="cpu", **options)
    record = done.results[0].record
    assert 0 < record.robust.sum() < record.clean.sum()
    return record.header.hash, record.robust


@pytest.fixture(scope="module")
def whole(examples):
    return verdicts(examples)


@pytest.mark.parametrize("options", [{"chunk_size": 7}, *map(slow, ({"chunk_size": 12}, {"batch_size": 5}))], ids=str)
def test_settings_do_not_cut_the_batch(options, examples, whole):
    found = verdicts(examples, **options)
    assert found[0] == whole[0]
    assert np.array_equal(found[1], whole[1])


@pytest.mark.slow
def test_a_run_that_continues_cuts_the_same_chunks(examples, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "CHUNK", 10)
    expected = verdicts(examples, results=tmp_path / "a")
    written = []

    def stopping(self, position, rows, cost):
        write(self, position, rows, cost)
        written.append(position)
        if len(written) == 2:
            raise KeyboardInterrupt

    write = Chunks.write
    with monkeypatch.context() as patched:
        patched.setattr(Chunks, "write", stopping)
        with pytest.raises(KeyboardInterrupt):
            verdicts(examples, results=tmp_path / "b")
    found = verdicts(examples, results=tmp_path / "b", chunk_size=3)
    assert found[0] == expected[0]
    assert np.array_equal(found[1], expected[1])
