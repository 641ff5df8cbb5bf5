"""The share of the work and the running robust accuracy while several chunks are under way."""

import pytest
import torch

from robench.evaluation.progress import Progress, Quiet, Tally
from robench.specs import find_attack
from robench.store import Rows


class Heard(Quiet):
    def __init__(self):
        self.said = []

    def advanced(self, done, robust_accuracy):
        self.said.append((done, robust_accuracy))


def rows(robust):
    column = torch.tensor(robust).numpy()
    return Rows(**dict.fromkeys(Rows.__dataclass_fields__, column))


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
def progress(heard):
    progress = Progress(heard, Tally([]), 40, find_attack("pgd-20"))
    progress.chunk_started(0, 10)
    progress.chunk_started(10, 30)
    return progress


def test_chunks_under_way_are_added_up(progress, heard):
    progress.step(0, 0, 10, 8)
    progress.step(10, 0, 5, 27)
    assert heard.said == [(5 / 40, 80.0), (12.5 / 40, 100 * 35 / 40)]
    progress.chunk_done(0, rows([True] * 7 + [False] * 3))
    assert heard.said[-1] == (17.5 / 40, 100 * 34 / 40)
    progress.chunk_done(10, rows([True] * 20 + [False] * 10))
    assert heard.said[-1] == (1.0, 100 * 27 / 40)


def test_late_news_and_a_chunk_that_comes_twice_count_once(progress, heard):
    for _ in range(2):
        progress.chunk_done(0, rows([True] * 10))
        progress.step(0, 0, 10, 8)
    assert heard.said == [(10 / 40, 100.0)]
