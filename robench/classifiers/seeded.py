"""The global generators from which a network may draw: those of torch, NumPy and Python."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def seed(number: int) -> None:
    """Seed the global generators."""
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


@contextmanager
def generators_kept() -> Iterator[None]:
    """Put the global generators back afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []):
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


@contextmanager
def seeded(number: int) -> Iterator[None]:
    """Seed the global generators for the passes inside, and put them back afterwards."""
    with generators_kept():
        seed(number)
        yield
