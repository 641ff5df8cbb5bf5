"""Forecast the cost of an attack: passes from other networks, seconds from a short run on this network."""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from robench.access.judge import Judge
from robench.access.microbatches import MicroBatcher
from robench.access.oracle import Oracle
from robench.algorithms import bind
from robench.classifiers.frozen import FrozenNetwork
from robench.engine.loop import Chunk, Job, attack_chunk
from robench.numerics.ball import Ball
from robench.numerics.losses import Objective
from robench.specs import AttackSpec, ThreatModel, digest, find_attack
from robench.store import Record

PILOT = "pgd-20"
"""Attack that is run on one micro-batch; defenses are compared by the examples that survive it."""
ROUNDS = 3
"""Number of timed passes; the median counts."""
PATIENCE = 20.0
"""Seconds that the pilot may take; if the network is slower, every example counts as robust."""
FEWEST = 8
"""Smallest number of examples from which the share of survivors is estimated."""
POINTS = 4
"""Smallest number of defenses with a record of an attack from which its cost is fitted."""
BROKEN = 4
"""Steps within which an example that does not survive is broken: a prior, used if nothing is known of an attack."""
PRIOR = 1.0
"""Weight of this prior in the fit, in defenses."""


@dataclass(frozen=True)
class SpeedProbe:
    """Measurements of a short run on one micro-batch.

    Attributes:
        clean: share of the examples that are classified correctly.
        survivors: share of the correctly classified examples that survive `PILOT`; 1 if `PILOT` would take too long.
        forward, backward: seconds per example for one pass in a full micro-batch; `forward` includes the oracle's work.
        alone: forward plus backward seconds at batch size 1.
        tried: number of examples on which `PILOT` was run.
    """

    clean: float
    survivors: float
    forward: float
    backward: float
    alone: float = 0.0
    tried: int = 0

    @classmethod
    def of(cls, network: FrozenNetwork, chunk: Chunk, threat: ThreatModel, batcher: MicroBatcher) -> "SpeedProbe":
        """Time and attack a few examples, at most one micro-batch.

        Args:
            network: the network.
            chunk: examples with their clean predictions.
            threat: norm and eps.
            batcher: makes the micro-batches that are timed.
        """
        spec, rows = find_attack(PILOT), (chunk.clean == chunk.y).nonzero().flatten()
        forward, backward, alone = _passes(network, chunk, threat, batcher)
        pair = forward + backward
        few = rows[: min(batcher.size, int(PATIENCE / max(pair * spec.steps, 1e-9)))]
        survivors = 1.0
        if len(few) >= FEWEST:
            survivors = _survivors(network, chunk.take(few), threat, batcher, spec)
        return cls(len(rows) / len(chunk), survivors, forward, backward, alone, len(few))

    def seconds(self, forwards: float, backwards: float, steps: int, correct: float) -> float:
        """Return the seconds for a number of passes and steps on a number of correctly classified examples.

        While any example survives, the last micro-batch of a step is almost empty and takes as long as one example
        alone. The probability of that follows from the pilot's survivors, by Laplace's rule of succession.
        """
        one = (self.survivors * self.tried + 1) / (self.tried + 2)
        lasts = 1 - math.exp(correct * math.log1p(-one))
        pair = self.forward + self.backward
        share = 1.0 if backwards else self.forward / pair if pair else 0.0
        return forwards * self.forward + backwards * self.backward + steps * lasts * share * max(self.alone - pair, 0.0)


class CostHistory:
    """Passes that attacks took on published defenses, by the share of examples that survived `PILOT`.

    Args:
        records: published records.
        without: a network whose records are left out, so that its forecast never uses its own results.
    """

    def __init__(self, records: Iterable[Record], without: str = "") -> None:
        defenses: dict[tuple[str, ...], list[Record]] = defaultdict(list)
        for record in records:
            if record.header.model != without and not record.header.target and not record.header.mask:
                header = record.header
                defenses[header.model, str(header.threat), str(header.seed), str(header.n)].append(record)
        self.points: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
        for known in defenses.values():
            speed_probe = next((record for record in known if record.header.attack.name == PILOT), None)
            correct = int(speed_probe.clean.sum()) if speed_probe else 0
            for record in known if speed_probe and correct else ():
                header = record.header
                if header.forwards and not header.derived_from:
                    survivors = speed_probe.robust_accuracy / speed_probe.clean_accuracy  # type: ignore[union-attr]
                    point = (survivors, header.forwards / correct, header.backwards / correct)
                    self.points[digest(header.attack.identity())].append(point)

    def passes(self, spec: AttackSpec, survivors: float, classes: int) -> tuple[float, float]:
        """Return the mean forward and backward passes per correctly classified example.

        They lie on a line fitted to other defenses, capped at the largest cost of the attack. If too few defenses have
        a record, survivors take the usual cost and the other examples break after a few steps.
        """
        most = np.array(bind(spec).cost(spec.steps, classes), dtype=float) * spec.restarts
        known = np.array(self.points.get(digest(spec.identity()), []))
        early = np.minimum(most, most * BROKEN / spec.steps)
        if len(known) < POINTS:
            usual = np.array(bind(spec).usual_cost(spec.steps, classes), dtype=float) * spec.restarts
            found = survivors * usual + (1 - survivors) * early
        else:
            # Outside the observed range the fit falls back to a prior: examples break early.
            shares, passes = np.append(known[:, 0], 0.0), np.vstack([known[:, 1:], early])
            weights = np.append(np.ones(len(known)), PRIOR)[:, None]
            line, *_ = np.linalg.lstsq(weights * np.stack([1 - shares, shares], 1), weights * passes, rcond=None)
            found = np.array([1 - survivors, survivors]) @ line
        forwards, backwards = np.clip(found, [1.0, 0.0], np.maximum(most, 1.0))
        return float(forwards), float(backwards)


def most_passes(spec: AttackSpec, survivors: int, classes: int) -> int:
    """Return an upper bound of the forward plus backward passes of an attack on examples that survive it."""
    return sum(bind(spec).usual_cost(spec.steps, classes)) * spec.restarts * survivors


def _passes(
    network: FrozenNetwork, chunk: Chunk, threat: ThreatModel, batcher: MicroBatcher
) -> tuple[float, float, float]:
    """Return seconds per example: forward pass with the oracle's work, backward pass, and both at batch size 1."""
    judge, x = Judge(network, batcher), chunk.x
    oracle = Oracle(
        network,
        Ball(x, threat.norm, threat.eps),
        chunk.y,
        chunk.ids,
        access="gradient",
        bounds="engine",
        batcher=batcher,
        precision="fp32",
    )

    def back(part: Tensor, y: Tensor) -> Tensor:
        part = part.detach().requires_grad_()
        with torch.enable_grad():
            loss = F.cross_entropy(network.answer(part, "logits")[0], y, reduction="sum")
        return torch.autograd.grad(loss, part)[0]

    whole = _seconds(lambda: oracle.gradient(x, Objective("ce")), x)  # first: its errors name what a network lacks
    backward = max(_seconds(lambda: batcher(back, x, chunk.y), x) - _seconds(lambda: judge.predict(x), x), 0.0)
    first = torch.zeros(1, dtype=torch.int64, device=x.device)
    alone = _seconds(lambda: oracle.gradient(x[:1], Objective("ce"), first), x)
    return max(whole - backward, 0.0) / len(x), backward / len(x), alone


def _seconds(work: Callable[[], object], x: Tensor) -> float:
    """Return the median seconds of some rounds of work on images, after one round to warm up."""
    taken = []
    for _ in range(1 + ROUNDS):
        begin = time.perf_counter()
        work()
        if x.is_cuda:
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begin)
    return median(taken[1:])


def _survivors(
    network: FrozenNetwork, chunk: Chunk, threat: ThreatModel, batcher: MicroBatcher, spec: AttackSpec
) -> float:
    """Return the share of correctly classified examples that survive an attack."""
    job = Job(network, bind(spec), spec, threat, 0, "fp32", batcher)
    rows = attack_chunk(job, chunk, Judge(network, batcher), lambda *_: None).rows
    return float(rows.robust.mean())
