"""One attack on a split through the engine, without a store, and a network that counts its passes."""

from collections import Counter

import torch
from torch import nn

from robench.access.judge import Judge
from robench.access.microbatches import MicroBatcher
from robench.algorithms import ReferenceExamples, bind
from robench.classifiers.frozen import frozen_network
from robench.data.split import Split
from robench.engine.loop import Chunk, Job, attack_chunk
from robench.specs import ThreatModel
from robench.store import join
from tests.support.networks import CPU


def attack(
    frozen,
    split,
    spec,
    batch_size=128,
    order=None,
    chunk_size=540,
    seed=0,
    threat="0.2",
    norm="linf",
    target=None,
    mask=None,
):
    """All verdicts in the split's own order, whatever order and chunks they were computed in."""
    batcher = MicroBatcher(batch_size)
    judge, parts = Judge(frozen, batcher), []
    algorithm, pool = bind(spec), None
    if algorithm.input_kind == "features":
        pool = ReferenceExamples.of(split.x, split.y, split.ids, judge.predict(split.x).argmax(1))
    job = Job(frozen, algorithm, spec, ThreatModel.parse(norm, threat), seed, "fp32", batcher, True, pool)
    order = torch.arange(len(split)) if order is None else order
    for at in order.split(chunk_size):
        x, y, ids = split.x[at], split.y[at], split.ids[at]
        clean = judge.predict(x).argmax(1)
        aimed, masked = (None if each is None else each[at] for each in (target, mask))
        parts.append(attack_chunk(job, Chunk(x, y, ids, clean, aimed, masked), judge, lambda *_: None).rows)
    return join(parts).ordered(split.ids.numpy())


def survives(model, x, y, spec, norm, eps):
    """Whether the engine and the judge leave every example right: no evaluation around it, so a fifth of its time."""
    with frozen_network(model, CPU) as frozen:
        return bool(attack(frozen, Split.checked("some", x, y), spec, norm=norm, threat=repr(eps)).robust.all())


class Counting(nn.Module):
    """Counts the images that pass through a network, forwards and backwards."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.seen = model, Counter()

    def forward(self, x):
        self.seen["forwards"] += len(x)
        if x.requires_grad:
            x.register_hook(lambda gradient: self.seen.update(backwards=len(gradient)))
        return self.model(x)
