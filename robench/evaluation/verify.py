"""Judge stored adversarial examples again from disk; nothing of the run that made them is reused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from robench.access.judge import FAULTS, JudgeResult, judge_of
from robench.classifiers.frozen import frozen_network
from robench.errors import IncompleteError, InputError
from robench.evaluation.request import NetworkUnderTest
from robench.evaluation.verified import Sources, has_label, is_of, mask_of
from robench.numerics.ball import Ball
from robench.specs import Card
from robench.store import Column, Header, Rows, Store, read, read_header

OTHER_DISTANCE = "at another distance than stored"
TOLERANCE = 1e-5
"""Largest difference between the stored distance of a point and the measured one, relative to max(1, eps)."""


@dataclass(frozen=True)
class Verification:
    """Result of checking one record.

    Attributes:
        header: header of the record.
        examples: number of stored adversarial examples.
        confirmed: number of examples that are confirmed.
        faults: number of other examples and of contradictory rows, by reason.
        reason: why no example could be judged; empty if examples were judged, or if there are none.
    """

    header: Header
    examples: int
    confirmed: int
    faults: dict[str, int]
    reason: str = ""


def verify(
    results: Path,
    cards: Sequence[Card] = (),
    names: Sequence[str] | None = None,
    networks: Sequence[NetworkUnderTest] = (),
    data_dir: Path | None = None,
) -> list[Verification]:
    """Judge every stored adversarial example again, on the CPU.

    The network of a record is the registered defense of its name, or the one that its evaluation loaded. Python code of
    a user is run only if no file of it has changed since then.

    Args:
        results: the folder of the records.
        cards: cards that the user names, for records of defenses that are not registered.
        names: defenses whose records are looked at.
        networks: the user's networks whose records are looked at; if a network has none, those of its name, which
            cannot be confirmed. If neither names nor networks are given, all records are looked at.
        data_dir: folder of downloaded datasets.

    Raises:
        InputError: a damaged record.
        IncompleteError: there are no stored examples.
    """
    sources = Sources(results, {card.name: card for card in cards}, networks, data_dir)
    headers = {path: read_header(path) for path in Store(results).paths()}
    asked = [path for path, header in headers.items() if header.model in (names or ())]
    for network in networks:
        exactly = [path for path, header in headers.items() if is_of(header, network)]
        asked += exactly or [path for path, header in headers.items() if has_label(header, network)]
    everything = names is None and not networks
    paths = [path for path in headers if everything or path in asked]
    if not any(headers[path].has_adversarial for path in paths):
        of = f" of {', '.join([*(names or ()), *(each.model for each in networks)])}" if not everything else ""
        raise IncompleteError(
            f"'{results}' has no stored adversarial examples{of} to verify: "
            "run `robench eval --save-adversarial` first."
        )
    return [_verify(path, sources) for path in paths]


def _verify(path: Path, sources: Sources) -> Verification:
    header, rows = read(path)
    if not header.has_adversarial:
        return Verification(header, 0, 0, {}, "stored without points: run with --save-adversarial")
    broken = rows.take(np.flatnonzero(rows.clean & ~rows.robust))
    faults = _contradictions(rows, header)
    if not len(broken):
        return Verification(header, 0, 0, dict(faults))
    try:
        ruling = _judged(header, broken, path, sources)
    except InputError as error:
        return Verification(header, len(broken), 0, dict(faults), str(error).rstrip("."))
    # A near-tie on a GPU may be decided differently here: neither confirmed nor a fault.
    faults.update(FAULTS[code] for code in ruling.fault[~ruling.tied].tolist() if code)
    confirmed = ruling.confirmed.numpy()
    moved = np.abs(ruling.distance.numpy() - broken.distance) > TOLERANCE * max(1.0, header.threat.eps)
    if (moved & confirmed).any():
        faults[OTHER_DISTANCE] += int((moved & confirmed).sum())
    return Verification(header, len(broken), int((confirmed & ~moved).sum()), dict(faults))


def _judged(header: Header, rows: Rows, path: Path, sources: Sources) -> JudgeResult:
    """Judge the points of some rows of a record.

    Raises:
        InputError: the network or the clean images are not there, or they do not fit.
    """
    clean, y = sources.clean(header, path, rows)
    mask = mask_of(header, path, rows.id)
    points = torch.stack([_point(blob, clean[0].shape, path) for blob in rows.adversarial])
    device = torch.device("cpu")
    with frozen_network(sources.network(header, path), device) as network:
        ball = Ball(clean, header.threat.norm, header.threat.eps, mask)
        # A success with a target is predicted as the target, so the stored prediction names it.
        target = torch.from_numpy(rows.prediction) if header.target else None
        judge = judge_of(network, header.seed if header.draws else None, clean)
        return judge.rule(ball, points, y, target, ids=torch.from_numpy(rows.id), all_draws=True)


def _contradictions(rows: Rows, header: Header) -> Counter[str]:
    """Count rows whose columns contradict each other, by reason."""
    limit = header.attack.steps
    return Counter(
        {
            reason: int(mask.sum())
            for reason, mask in {
                "robust but misclassified clean": rows.robust & ~rows.clean,
                "robust but with a first success": rows.robust & (rows.step >= 0),
                "broken after the last step": ~rows.robust & (rows.step > limit),
                "broken but classified correctly": ~rows.robust & (rows.prediction == rows.label),
                "broken but not of the target class": rows.clean & ~rows.robust & _misses(rows, header),
            }.items()
            if mask.any()
        }
    )


def _misses(rows: Rows, header: Header) -> Column:
    """Return which predictions are not the target class of all examples, bool (N,); all False without such a class."""
    if not header.target.isdigit():
        return np.zeros(len(rows), dtype=bool)
    return np.asarray(rows.prediction != int(header.target))


def _point(blob: bytes | None, shape: torch.Size, path: Path) -> torch.Tensor:
    blob = blob or b""
    if len(blob) != 4 * shape.numel():
        raise InputError(f"record '{path}': a stored example has {len(blob)} bytes, expected {4 * shape.numel()}.")
    return torch.from_numpy(np.frombuffer(blob, dtype="<f4").copy()).view(shape)
