"""Shared networks and shortcuts: real parts only."""

import pytest
import torch
from torch import Tensor, nn

from robench.classifiers import load_model
from robench.classifiers.victim import frozen
from robench.data import find_dataset
from robench.data.split import Split

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def digits() -> Split:
    return find_dataset("digits").load("test")


@pytest.fixture
def pgdat():
    with frozen(load_model("pgdat"), CPU) as victim:
        yield victim


@pytest.fixture
def pgdat_he():
    with frozen(load_model("pgdat_he"), CPU) as victim:
        yield victim


class Linear(nn.Module):
    """Two classes: logits (0, w x + b); class 1 where w x + b > 0."""

    def __init__(self, w: Tensor, b: float) -> None:
        super().__init__()
        self.w = nn.Parameter(w.clone())
        self.b = b

    def forward(self, x: Tensor) -> Tensor:
        f = x.flatten(1) @ self.w + self.b
        return torch.stack([torch.zeros_like(f), f], 1)
