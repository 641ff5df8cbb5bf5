"""robench's own attacks, as an evaluation runs them; their points are read back from the stored records."""

import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.peers.case import CONSTANTS, Attack, Case, Effort
from robench.data.split import Split
from robench.evaluation.progress import Quiet
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings, network_identity
from robench.evaluation.run import evaluate
from robench.specs import AttackSpec, battery_attacks, find_attack
from robench.store import Store, read

NAME = "robench"
BOUNDED = ("fgsm", "pgd-20", "pgd-100", "pgd-500", "mim-20", "apgd-ce", "apgd-t", "fab-t", "square", "spsa", "zoo")
MINIMAL = ("deepfool", "cw-l2")


def declared(attack: str, effort: Effort) -> AttackSpec:
    """The stanza, as long as asked for; in AutoAttack's place the battery `fast`."""
    changed: dict[str, tuple[str, dict[str, Any]]] = {
        "autoattack": ("cascade", {}),
        "square": ("square", {"steps": effort.queries - 1}),  # a last look at the last proposal
        "spsa": ("spsa-80", {"steps": effort.spsa_steps}),
        "zoo": ("zoo", {"steps": effort.zoo_updates}),
        "cw-l2": ("cw-l2", {"steps": CONSTANTS * effort.iterations, "params": {"iterations": effort.iterations}}),
    }
    name, changes = changed.get(attack, (attack, {}))
    return find_attack(name).model_copy(update=changes)


def evaluation(attacks: list[str], case: Case, seed: int) -> tuple[Tensor, int]:
    """The points of the last of some attacks of one evaluation, the clean ones where it found nothing, and the
    forwards that it booked for them.
    """
    found, booked = _evaluated([declared(attack, case.effort) for attack in attacks], case, seed)
    return found[-1], booked


def battery(name: str, case: Case, seed: int) -> Tensor:
    """The first point that any attack of a battery found for each example, the clean one where none did."""
    found, _ = _evaluated(battery_attacks(name), case, seed)
    points = case.x.clone()
    for each in reversed(found):
        new = (each != case.x).flatten(1).any(1)
        points[new] = each[new]
    return points


def _evaluated(specs: Sequence[AttackSpec], case: Case, seed: int) -> tuple[list[Tensor], int]:
    split = Split.checked("data", case.x, case.y, case.ids)
    settings = Settings(seed, case.precision, str(case.x.device), case.batch, save_adversarial=True)
    under_test = NetworkUnderTest("data/network", network_identity(case.model), lambda: case.model)
    request = EvaluationRequest(under_test, split, case.threat, tuple(specs), settings)
    with tempfile.TemporaryDirectory(prefix="robench-") as folder:
        outcome = evaluate(request, Store(Path(folder)), Quiet())
        stored = [read(result.record.path)[1].ordered(case.ids.cpu().numpy()) for result in outcome.results]
    every = [case.x.clone() for _ in stored]
    for found, rows in zip(every, stored, strict=True):
        for row, point in enumerate(rows.adversarial):
            if point is not None:
                found[row] = torch.from_numpy(np.frombuffer(point, "<f4").copy()).view_as(found[row])
    return every, sum(result.forwards for result in outcome.results)


def points(attack: str, case: Case, seed: int) -> Tensor:
    """Of one attack."""
    return evaluation([attack], case, seed)[0]


ATTACKS: Mapping[str, Attack] = {name: partial(points, name) for name in (*BOUNDED, *MINIMAL, "autoattack")}
