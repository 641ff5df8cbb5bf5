"""robench's attacks, those of minimum norm run to their end, wherever an evaluation would have stopped."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.peers.case import Attack, Case
from benchmarks.peers.with_robench import ATTACKS as BOUNDED
from benchmarks.peers.with_robench import MINIMAL, NAME, declared
from robench import algorithms
from robench.access.judge import NOT_MISCLASSIFIED, Judge, JudgeResult
from robench.access.microbatches import MicroBatcher
from robench.classifiers.frozen import FrozenNetwork, frozen_network
from robench.engine.loop import Chunk, Job, attack_chunk
from robench.numerics.ball import Ball
from robench.specs import ThreatModel

__all__ = ["ATTACKS", "NAME"]
WIDE = 8
"""The l2 diagonal of the digits' box: a ball of this radius holds every image."""


class Hindsight(Judge):
    """Lets no example leave, and keeps the nearest point of each that it would have confirmed."""

    def __init__(self, frozen: FrozenNetwork, batcher: MicroBatcher) -> None:
        super().__init__(frozen, batcher)
        self.nearest: dict[bytes, tuple[float, Tensor]] = {}

    def rule(self, ball: Ball, points: Tensor, y: Tensor, target: Tensor | None = None, **options: Any) -> JudgeResult:
        """Rule as always, remember, and say that rounding may have decided, which no algorithm is blamed for."""
        ruling = super().rule(ball, points, y, target, **options)
        for row in ruling.confirmed.nonzero().flatten().tolist():
            image, away = ball.center[row].numpy().tobytes(), float(ruling.distance[row])
            if image not in self.nearest or away < self.nearest[image][0]:
                self.nearest[image] = away, points[row].clone()
        return replace(
            ruling, fault=torch.full_like(ruling.fault, NOT_MISCLASSIFIED), tied=torch.ones_like(ruling.tied)
        )


def minimal(attack: str, case: Case, seed: int) -> Tensor:
    """The nearest misclassified points that a whole run meets."""
    spec, batcher = declared(attack, case.effort), MicroBatcher(64)
    with frozen_network(case.model, torch.device("cpu")) as frozen:
        judge, threat = Hindsight(frozen, batcher), ThreatModel.parse("l2", str(WIDE))
        job = Job(frozen, algorithms.bind(spec), spec, threat, seed, "fp32", batcher)
        attack_chunk(job, Chunk(case.x, case.y, case.ids, case.y), judge, lambda *_: None)
    found = (judge.nearest.get(image.numpy().tobytes()) for image in case.x)
    return torch.stack([kept[1] if kept else image for kept, image in zip(found, case.x, strict=True)])


ATTACKS: Mapping[str, Attack] = {**BOUNDED, **{name: partial(minimal, name) for name in MINIMAL}}
