"""What a resumed training run needs, on disk whole or not at all."""

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch

from robench.errors import InputError
from robench.paths import atomic_path, write_text

CHECKPOINT = "checkpoint.pt"
LOG = "log.csv"
PARTS = ("model", "optimizer", "schedule")


@dataclass(frozen=True)
class Epoch:
    """One line of the training log; accuracies in percent on held-out training examples, NaN without any.

    `lr` is the rate at which the next epoch would begin, `seconds` those of training alone.
    """

    epoch: int
    lr: float
    loss: float
    clean_accuracy: float
    robust_accuracy: float
    seconds: float


def save(folder: Path, key: str, history: Sequence[Epoch], state: dict[str, Any]) -> None:
    """Write the checkpoint and the log after an epoch."""
    with atomic_path(folder / CHECKPOINT) as temporary:
        torch.save({"key": key, "history": [asdict(epoch) for epoch in history], **state}, temporary)
    write_log(folder / LOG, history)


def load(folder: Path, key: str) -> tuple[list[Epoch], dict[str, Any]] | None:
    """The last checkpoint, or None where there is none.

    Raises:
        InputError: it belongs to another recipe, or cannot be read.
    """
    path = folder / CHECKPOINT
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
        history = [Epoch(**epoch) for epoch in state.pop("history")]
        found = state.pop("key")
        state = {part: state[part] for part in PARTS}
    except Exception as error:  # torch raises several kinds for a damaged file, all of them final here
        raise InputError(f"checkpoint '{path}' cannot be read: delete it and train again.") from error
    if found != key:
        raise InputError(f"checkpoint '{path}' belongs to another recipe: delete it, or choose another --out.")
    return history, state


def write_log(path: Path, history: Sequence[Epoch]) -> None:
    """The CSV log, one line an epoch."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(field.name for field in fields(Epoch))
    for e in history:
        writer.writerow(
            [e.epoch, f"{e.lr:.6g}", f"{e.loss:.6f}", f"{e.clean_accuracy:.2f}", f"{e.robust_accuracy:.2f}",
             f"{e.seconds:.2f}"]
        )  # fmt: skip
    write_text(path, stream.getvalue())


def read_log(path: Path) -> list[Epoch]:
    """The epochs of a CSV log.

    Raises:
        InputError: there is none, or it is not one.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [Epoch(int(row.pop("epoch")), **{key: float(value) for key, value in row.items()}) for row in rows]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"training log '{path}' cannot be read: train the defense again.") from error
