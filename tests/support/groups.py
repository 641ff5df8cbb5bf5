"""Results of two small networks of the user, under several threat models and on several files of one name."""

from pathlib import Path

import numpy as np

from robench.cli import run
from robench.data import find_dataset

NETWORKS = """
import torch
from torch import nn


def make(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def one():
    return make(1)


def two():
    return make(2)
"""


def written(folder: Path) -> tuple[Path, Path, Path]:
    """Write the two networks, and two files `test.npz` of different images; return the three paths."""
    split = find_dataset("digits").load("test")
    code, first, second = folder / "net.py", folder / "test.npz", folder / "other" / "test.npz"
    code.write_text(NETWORKS)
    second.parent.mkdir()
    for path, part in ((first, slice(0, 12)), (second, slice(12, 24))):
        np.savez(path, x=split.x[part].numpy(), y=split.y[part].numpy())
    return code, first, second


def evaluated(code: Path, name: str, data: Path, eps: str, results: Path, *options: object) -> None:
    """Attack one of the two networks."""
    command = ("eval", "--model", f"{code}:{name}", "--mean", "none", "--dataset", f"npz:{data}", "--eps", eps)
    attacks = () if "--attack" in options else ("--attack", "fgsm")
    assert run([str(each) for each in (*command, *attacks, "--results", results, *options)]) == 0
