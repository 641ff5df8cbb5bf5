"""robench's own attacks, their points read back from the stored records."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from comparison import BOUNDED, EPS, MINIMAL, Attack, Case
from torch import Tensor

import robench.algorithms as algorithms
from robench.ball import Ball
from robench.classifiers.victim import Victim, frozen
from robench.data.split import Split
from robench.engine import Chunk, Job, attack_chunk
from robench.judge import NOT_MISCLASSIFIED, Judge, Ruling
from robench.packing import Packer
from robench.progress import Quiet
from robench.request import Settings, Subject
from robench.run import evaluate
from robench.specs import ThreatModel, find_attack, find_card
from robench.store import Store, read

NAME = "robench"
CPU = torch.device("cpu")
WIDE = 8
"""The l2 diagonal of the digits' box: a ball of this radius holds every image."""


def bounded(attack: str, case: Case, seed: int) -> Tensor:
    """The points of a run inside the ball; the clean ones where it found nothing."""
    split, settings = Split.checked("digits", case.x, case.y, case.ids), Settings(seed, save_adversarial=True)
    with tempfile.TemporaryDirectory(prefix="robench-") as folder:
        subject, threat = Subject.of_card(find_card(case.name)), ThreatModel.parse("linf", str(EPS))
        outcome = evaluate(subject, split, [find_attack(attack)], threat, settings, Store(Path(folder)), Quiet())
        _, rows = read(outcome.results[0].record.path)
    points = case.x.clone()
    for row, stored in enumerate(rows.ordered(case.ids.numpy()).adversarial):
        if stored is not None:
            points[row] = torch.from_numpy(np.frombuffer(stored, "<f4").copy()).view_as(points[row])
    return points


class Hindsight(Judge):
    """Lets no example leave, and keeps the nearest point of each that it would have confirmed."""

    def __init__(self, victim: Victim, packer: Packer) -> None:
        super().__init__(victim, packer)
        self.nearest: dict[bytes, tuple[float, Tensor]] = {}

    def rule(self, ball: Ball, points: Tensor, y: Tensor) -> Ruling:
        """Rule as always, remember, and say that rounding may have decided, which no algorithm is blamed for."""
        ruling = super().rule(ball, points, y)
        for row in ruling.confirmed.nonzero().flatten().tolist():
            image, away = ball.center[row].numpy().tobytes(), float(ruling.distance[row])
            if image not in self.nearest or away < self.nearest[image][0]:
                self.nearest[image] = away, points[row].clone()
        return replace(
            ruling, fault=torch.full_like(ruling.fault, NOT_MISCLASSIFIED), tied=torch.ones_like(ruling.tied)
        )


def minimal(attack: str, case: Case, seed: int) -> Tensor:
    """The nearest misclassified points that a whole run meets, wherever it would have stopped."""
    spec, packer = find_attack(attack), Packer(64)
    with frozen(case.model, CPU) as victim:
        judge, threat = Hindsight(victim, packer), ThreatModel.parse("l2", str(WIDE))
        job = Job(victim, algorithms.bind(spec), spec, threat, seed, "fp32", packer)
        attack_chunk(job, Chunk(case.x, case.y, case.ids, case.y), judge, lambda *_: None)
    found = (judge.nearest.get(image.numpy().tobytes()) for image in case.x)
    return torch.stack([kept[1] if kept else image for kept, image in zip(found, case.x, strict=True)])


ATTACKS: Mapping[str, Attack] = {name: partial(bounded, name) for name in BOUNDED} | {
    name: partial(minimal, name) for name in MINIMAL
}
