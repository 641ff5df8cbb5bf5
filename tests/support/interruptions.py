"""Attacks that are interrupted between two steps, and go on from their checkpoints."""

import itertools
from dataclasses import replace

import torch

from robench.access.judge import Judge
from robench.access.microbatches import MicroBatcher
from robench.algorithms import ReferenceExamples, bind
from robench.engine import saving
from robench.engine.executors.base import work
from robench.engine.loop import Chunk, CraftedExamples, Job
from robench.engine.saving import Checkpoints
from robench.specs import ThreatModel
from robench.store.raw import Chunks
from robench.store.under_way import UnderWay

MADE_WITH = {"torch": "2", "device": "cpu"}


def always(monkeypatch):
    """Make a checkpoint after every step, without waiting for the disk."""
    monkeypatch.setattr("os.fsync", lambda _: None)
    monkeypatch.setattr(saving, "PACE", 0.0)
    monkeypatch.setattr(saving, "SPARING", 0.0)


def work_on(frozen, split, spec, norm="linf", eps="0.03", target=None, mask=None, crafted=False):
    """A job and its only chunk; one example is misclassified. Crafted examples, if needed, are the clean ones."""
    batcher, algorithm = MicroBatcher(3), bind(spec)
    clean = Judge(frozen, batcher).predict(split.x).argmax(1)
    clean[1] = (clean[1] + 1) % 6
    pool = ReferenceExamples.of(split.x, split.y, split.ids, clean) if algorithm.input_kind == "features" else None
    job = Job(frozen, algorithm, spec, ThreatModel.parse(norm, eps), 0, "fp32", batcher, True, pool)
    if crafted:
        job = replace(job, crafted=CraftedExamples(split.ids, split.x[:]))
    return job, Chunk(split.x[:], split.y, split.ids, clean, target, mask)


def checkpoints(folder, made_with=MADE_WITH, hash_="a" * 64, **callbacks):
    """The checkpoints of a record, and the notices they give."""
    said = []
    return Checkpoints(UnderWay(Chunks(folder, hash_)), made_with, said.append, **callbacks), said


def until(place):
    """A callback of steps at which the user presses Ctrl-C: a restart and a step, or None for never."""

    def on_step(restart, t, _):
        if (restart, t) == place:
            raise KeyboardInterrupt

    return on_step


def over_and_over(job, chunk, folder, every):
    """Interrupt an attack every few steps; return the rows and costs of its end, and the places where it went on."""
    places = []
    while True:
        left, begun = itertools.count(every, -1), []

        def on_step(restart, t, _, left=left, begun=begun):
            begun.append((restart, t))
            if not next(left):
                raise KeyboardInterrupt

        kept, said = checkpoints(folder)
        kept.find(chunk.ids.tolist())
        try:
            result = work(job, chunk, on_step, kept)
        except KeyboardInterrupt:
            pass
        else:
            return result, places
        finally:
            places.extend(begun[:1])
            assert not said
        torch.manual_seed(len(places))  # nothing may hang on torch's own numbers


def same(result, expected):
    """Whether two results agree in every value of every row, and in every count."""
    (rows, cost), (other, paid) = result, expected
    for name, column in rows.columns().items():
        assert column.dtype == other.columns()[name].dtype
        ours, theirs = ([str(value) for value in each.tolist()] for each in (column, other.columns()[name]))
        assert ours == theirs, name
    for key in cost.keys() - {"seconds"}:
        assert cost[key] == paid[key], key
