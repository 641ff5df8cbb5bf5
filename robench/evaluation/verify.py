"""Judge stored adversarial examples again from disk; nothing of the run that made them is reused."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from robench.access.judge import FAULTS, Judge
from robench.access.microbatches import MicroBatcher
from robench.classifiers import load_card
from robench.classifiers.frozen import frozen_network
from robench.data import DATASETS, Dataset, dataset_of, stored_mask
from robench.errors import InputError
from robench.numerics.ball import Ball
from robench.specs import Card, digest, find_card, list_models
from robench.store import Column, Header, Rows, Store, read, read_header


@dataclass(frozen=True)
class Verification:
    """Result of checking one record.

    Attributes:
        header: header of the record.
        examples: number of stored adversarial examples.
        confirmed: number of examples that are confirmed.
        faults: number of other examples and of contradictory rows, by reason.
        reason: why nothing could be checked; empty if something was checked.
    """

    header: Header
    examples: int
    confirmed: int
    faults: dict[str, int]
    reason: str = ""


def verify(results: Path, cards: list[Card] | None = None, names: Sequence[str] | None = None) -> list[Verification]:
    """Judge every stored adversarial example again, on the CPU.

    Args:
        results: the folder of the records.
        cards: defenses whose records are judged; None for all registered defenses.
        names: defenses whose records are looked at; by default those of the cards or, without cards, all.

    Raises:
        InputError: a damaged record, or a card or data that cannot be loaded.
    """
    known = {card.name: card for card in (map(find_card, list_models()) if cards is None else cards)}
    asked = None if cards is None and names is None else {*known, *(names or ())}
    return [
        _verify(path, known.get(read_header(path).model))
        for path in Store(results).paths()
        if asked is None or read_header(path).model in asked
    ]


def _verify(path: Path, card: Card | None) -> Verification:
    header, rows = read(path)
    reason = _hindrance(header, card)
    if card is None or reason:
        return Verification(header, 0, 0, {}, reason)
    data = _dataset(header, card)
    if data is None:
        return Verification(header, 0, 0, {}, "made with user data that its card does not name")
    split = data.load("test")
    if split.sha256 != header.identity["data"]["sha256"]:
        return Verification(header, 0, 0, {}, "made with other data than the dataset's")
    broken = np.flatnonzero(rows.clean & ~rows.robust)
    positions = {int(i): place for place, i in enumerate(split.ids.tolist())}
    at = torch.tensor([positions[int(i)] for i in rows.id[broken]], dtype=torch.int64)
    faults = _contradictions(rows, header)
    mask = None
    if header.mask:
        found = stored_mask.stored_mask(path.parents[1] / stored_mask.FOLDER, header.mask.sha256, split.ids[at])
        if found is None:
            return Verification(header, 0, 0, {}, f"its mask is not in '{path.parents[1] / stored_mask.FOLDER}'")
        mask = found.of_ids(split.ids[at])
    if len(broken):
        clean, y, device = split.x[at], split.y[at], torch.device("cpu")
        points = torch.stack([_point(blob, clean[0].shape, path) for blob in rows.adversarial[broken]])
        with frozen_network(load_card(card), device) as network:
            ball = Ball(clean, header.threat.norm, header.threat.eps, mask)
            # A success with a target is predicted as the target, so the stored prediction names it.
            target = torch.from_numpy(rows.prediction[broken]) if header.target else None
            ruling = Judge(network, MicroBatcher.auto(device)).rule(ball, points, y, target)
        # A near-tie on a GPU may be decided differently here: neither confirmed nor a fault.
        faults.update(FAULTS[code] for code in ruling.fault[~ruling.tied].tolist() if code)
        return Verification(header, len(broken), int(ruling.confirmed.sum()), dict(faults))
    return Verification(header, 0, 0, dict(faults))


def _hindrance(header: Header, card: Card | None) -> str:
    """Return why a record's points cannot be judged again, or an empty text."""
    if not header.has_adversarial:
        return "stored without points: run with --save-adversarial"
    if card is None:
        return "not a registered defense: name its card with --model"
    if digest(card.identity()) != header.model_identity:
        return "made with other weights than the card's"
    return ""


def _dataset(header: Header, card: Card) -> Dataset | None:
    """Find a record's dataset by name or from its card; None if neither names it."""
    if header.dataset in DATASETS:
        return DATASETS[header.dataset]
    return dataset_of(card) if card.label == header.dataset else None


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
