"""The training log beside the weights: CSV, one line per epoch."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from robench.errors import InputError
from robench.paths import write_text

LOG = "log.csv"


@dataclass(frozen=True)
class Epoch:
    """One line of the training log.

    Accuracies are in percent on held-out training examples, NaN if none are held out. `lr` is the learning rate at
    which the next epoch would begin; `seconds` is the time of training without these measurements.
    """

    epoch: int
    lr: float
    loss: float
    clean_accuracy: float
    robust_accuracy: float
    seconds: float


def write_log(path: Path, history: Sequence[Epoch]) -> None:
    """Write the log as CSV, one line per epoch."""
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
    """Read the epochs of a CSV log.

    Raises:
        InputError: the file does not exist, or is not a training log.
    """
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.DictReader(stream))
        return [Epoch(int(row.pop("epoch")), **{key: float(value) for key, value in row.items()}) for row in rows]
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise InputError(f"training log '{path}' cannot be read: train the defense again.") from error
