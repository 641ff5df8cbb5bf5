"""What an attack will cost: passes as it took them elsewhere, seconds as a short run on this network takes them."""

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
"""The attack that is run on a micro-batch, and by whose survivors defenses are compared."""
ROUNDS = 3
"""Passes that are timed; the median counts."""
PATIENCE = 20.0
"""Seconds that the pilot may take; what is slower is not attacked, and every example counted as robust."""
FEWEST = 8
"""Examples below which the survivors of a pilot say nothing."""
POINTS = 4
"""Defenses that must have met an attack before the cost is taken from them."""
BROKEN = 4
"""Steps after which an example that falls has fallen, where nothing is known of an attack."""
PRIOR = 1.0
"""How many defenses that counts for."""


@dataclass(frozen=True)
class SpeedProbe:
    """What a short run on one micro-batch showed.

    Attributes:
        clean: share of the examples that are classified correctly.
        survivors: share of those that withstand `PILOT`; 1 where that would take too long.
        forward, backward: seconds of an example's pass in a full micro-batch; the oracle's share is with the forward.
        alone: seconds of both for an example that is alone in its micro-batch.
        tried: how many examples `PILOT` was run on.
    """

    clean: float
    survivors: float
    forward: float
    backward: float
    alone: float = 0.0
    tried: int = 0

    @classmethod
    def of(cls, network: FrozenNetwork, chunk: Chunk, threat: ThreatModel, batcher: MicroBatcher) -> "SpeedProbe":
        """Time and attack a few examples, at most a micro-batch.

        Args:
            victim: the network.
            chunk: examples with their clean predictions.
            threat: norm and eps.
            packer: whose micro-batches are timed.
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
        """Of so many passes in so many steps on so many correctly classified examples.

        As long as any example lasts, a step's last micro-batch is hardly filled and takes as long as that of one alone;
        that any lasts is as likely as the pilot's survivors say, by Laplace's rule of succession where it saw none.
        """
        one = (self.survivors * self.tried + 1) / (self.tried + 2)
        lasts = 1 - math.exp(correct * math.log1p(-one))
        pair = self.forward + self.backward
        share = 1.0 if backwards else self.forward / pair if pair else 0.0
        return forwards * self.forward + backwards * self.backward + steps * lasts * share * max(self.alone - pair, 0.0)


class CostHistory:
    """What attacks took on published defenses, by how many examples survived `PILOT` there.

    Args:
        records: published ones.
        without: a network whose own records are left out, so that a forecast never knows what it foretells.
    """

    def __init__(self, records: Iterable[Record], without: str = "") -> None:
        defenses: dict[tuple[str, ...], list[Record]] = defaultdict(list)
        for record in records:
            if record.header.model != without:
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
        """Forwards and backwards of a correctly classified example, on average.

        A line through what other defenses took, never above what the attack can take at most; where too few met it,
        survivors take the most, and the others fall after a few steps.
        """
        most = np.array(bind(spec).cost(spec.steps, classes), dtype=float) * spec.restarts
        known = np.array(self.points.get(digest(spec.identity()), []))
        early = np.minimum(most, most * BROKEN / spec.steps)
        if len(known) < POINTS:
            found = survivors * most + (1 - survivors) * early
        else:
            # Far below what was seen nothing bears the line but the expectation that examples fall early.
            shares, passes = np.append(known[:, 0], 0.0), np.vstack([known[:, 1:], early])
            weights = np.append(np.ones(len(known)), PRIOR)[:, None]
            line, *_ = np.linalg.lstsq(weights * np.stack([1 - shares, shares], 1), weights * passes, rcond=None)
            found = np.array([1 - survivors, survivors]) @ line
        forwards, backwards = np.clip(found, [1.0, 0.0], np.maximum(most, 1.0))
        return float(forwards), float(backwards)


def _passes(
    network: FrozenNetwork, chunk: Chunk, threat: ThreatModel, batcher: MicroBatcher
) -> tuple[float, float, float]:
    """Seconds of an example's forward pass, with what the oracle does around it, of the one back, and of both alone."""
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

    whole = _seconds(lambda: oracle.gradient(x, Objective("ce")), x)  # first, for it says what a network lacks
    backward = max(_seconds(lambda: batcher(back, x, chunk.y), x) - _seconds(lambda: judge.predict(x), x), 0.0)
    first = torch.zeros(1, dtype=torch.int64, device=x.device)
    alone = _seconds(lambda: oracle.gradient(x[:1], Objective("ce"), first), x)
    return max(whole - backward, 0.0) / len(x), backward / len(x), alone


def _seconds(work: Callable[[], object], x: Tensor) -> float:
    """Of work on images, the median of some rounds after one to warm up."""
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
    """The share of some correctly classified examples that an attack leaves."""
    job = Job(network, bind(spec), spec, threat, 0, "fp32", batcher)
    rows = attack_chunk(job, chunk, Judge(network, batcher), lambda *_: None).rows
    return float(rows.robust.mean())
