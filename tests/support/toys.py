"""Toy networks and shortcuts for tests of faults and of networks of one's own."""

from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import robench
from robench.errors import InputError
from robench.store.raw import Chunks


def identity(logits, x):
    return logits


class Toy(nn.Module):
    """A linear network on 1x4x4 images; `answer(logits, x)` is what it returns."""

    def __init__(self, answer=identity, classes=4):
        super().__init__()
        weight = torch.randn(classes, 16, generator=torch.Generator().manual_seed(0))
        self.weight = nn.Parameter(weight)
        self.answer = answer
        self.eval()

    def forward(self, x):
        return self.answer(x.flatten(1) @ self.weight.T, x)


X = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(1))
Y = Toy()(X).argmax(1)


def evaluate(model=None, x=X, y=Y, **options):
    return robench.evaluate(model or Toy(), x, y, **{"eps": 0.1, "attacks": ["pgd-20"], "device": "cpu", **options})


def refusal(model=None, **options):
    """The sentence of the InputError that an evaluation ends in."""
    with pytest.raises(InputError) as caught:
        evaluate(model, **options)
    text = str(caught.value)
    assert "\n" not in text
    assert text[-1] in ".?"
    return text


def refused(cli, card, *words):
    said = cli("eval", "--model", card, "--attack", "fgsm", "--limit", 5, "--results", card.parent / "results")
    assert said.code == 2
    for word in words:
        assert word in said.last


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


class Interrupted(Toy):
    """A network at which the user presses Ctrl-C after so many calls; the calls are no part of its identity."""

    left = 10**9

    def forward(self, x):
        Interrupted.left -= 1
        if Interrupted.left < 0:
            raise KeyboardInterrupt
        return super().forward(x)


def interrupted(folder, monkeypatch):
    """An evaluation in chunks of three, interrupted in its third chunk or so; its finished chunks."""
    with monkeypatch.context() as patched:  # the calls of the probe, and 60 more
        patched.setattr(Interrupted, "left", 10**9)
        evaluate(Interrupted(), attacks=["pgd-1"])
        probe = 10**9 - Interrupted.left
    monkeypatch.setattr(Interrupted, "left", probe + 35)
    with pytest.raises(KeyboardInterrupt):
        evaluate(Interrupted(), chunk_size=3, results=folder)
    monkeypatch.setattr(Interrupted, "left", 10**9)
    return sorted(folder.rglob("*.chunks*/*.parquet"))


@contextmanager
def stopped_after_a_chunk(monkeypatch):
    """The user presses Ctrl-C while the body's second chunk is written; the first is kept."""
    write, kept = Chunks.write, []

    def once(self, *chunk):
        if kept:
            raise KeyboardInterrupt
        kept.append(write(self, *chunk))

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Chunks, "write", once)
        yield


class Own(nn.Module):
    """A network of somebody's: two layers, and `last` of what makes its logits."""

    def __init__(self, last=None, width=12, classes=5):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, width), nn.ReLU(inplace=True))
        self.fc = nn.Linear(width, classes)
        self.last = last or (lambda self, z: self.fc(z))
        self.eval()

    def forward(self, x):
        return self.last(self, self.body(x))


def functional(self, z):
    """A head of hypersphere embedding that is no module's forward pass."""
    return F.linear(F.normalize(z), F.normalize(self.fc.weight))


def hooks(model):
    """Every hook of every module."""
    return [
        (name, kind, list(values))
        for name, module in model.named_modules()
        for kind, values in vars(module).items()
        if "hooks" in kind and isinstance(values, dict) and values
    ]
