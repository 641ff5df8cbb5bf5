"""The body of a record: one row per example, as NumPy columns."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

Column = np.ndarray[Any, np.dtype[Any]]
RIGHT = "right"
"""Name of the column that only records of random networks have."""


@dataclass(frozen=True)
class Rows:
    """Verdicts, one per example; all columns have length N.

    Attributes:
        id: the example's stable id, int64.
        label, clean_prediction, prediction: classes, int64; `prediction` is the class of the adversarial point, or the
            clean prediction if robust.
        robust: correct on the clean example and not broken, bool.
        valid: False if the algorithm broke its promises and the example has no confirmed success, bool.
        first_fault: the first step at which the algorithm broke its promises, int64; -1 if it never did.
        restart, step, queries: restart, step and queries of the first success, int64; -1 if robust, 0 if misclassified
            clean.
        forwards, backwards: passes spent on the example, int64.
        distance: distance of the adversarial point in the threat model's norm, float64; NaN if there is no point.
        adversarial: the adversarial point as float32 bytes; None if there is no point or points are not kept.
        right: how many of the judge's draws were no success of the attack, int64: gave the label; with a target, not
            the target; with a detector, the label or a rejection. Counted at the adversarial point, or, if robust, at
            the attack's best point; if misclassified clean, the draws that gave the label there. Empty if the network
            is not random.
    """

    id: Column
    label: Column
    clean_prediction: Column
    prediction: Column
    robust: Column
    valid: Column
    first_fault: Column
    restart: Column
    step: Column
    queries: Column
    forwards: Column
    backwards: Column
    distance: Column
    adversarial: Column
    right: Column = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __len__(self) -> int:
        return len(self.id)

    def columns(self) -> dict[str, Column]:
        """Return the columns by name, without `right` if the network is not random."""
        columns = {each.name: getattr(self, each.name) for each in fields(self)}
        return columns if len(self.right) else {name: column for name, column in columns.items() if name != RIGHT}

    def take(self, positions: Column | slice) -> "Rows":
        """Return the rows at some positions."""
        return Rows(**{name: column[positions] for name, column in self.columns().items()})

    def ordered(self, ids: Column) -> "Rows":
        """Return the rows of the given ids, in the order of `ids`; every id must be present."""
        order = np.argsort(self.id, kind="stable")
        return self.take(order[np.searchsorted(self.id, ids, sorter=order)])

    @property
    def clean(self) -> Column:
        """Correctness on each clean example, bool (N,)."""
        return np.asarray(self.clean_prediction == self.label)

    def after(self, steps: int) -> "Rows":
        """Return the rows had the attack stopped after `steps` steps, with no passes counted."""
        robust = robust_after(steps, self.clean, self.robust, self.step)
        undone = robust & ~self.robust
        first_fault = np.where(self.first_fault > steps, -1, self.first_fault)
        changed = {
            "robust": robust,
            "first_fault": first_fault,
            "valid": ~robust | (first_fault < 0),
            "prediction": np.where(undone, self.clean_prediction, self.prediction),
            "distance": np.where(undone, np.nan, self.distance),
            "forwards": np.zeros_like(self.forwards),
            "backwards": np.zeros_like(self.backwards),
        }
        changed["adversarial"] = self.adversarial.copy()
        changed["adversarial"][undone] = None
        for name in ("restart", "step", "queries"):
            changed[name] = np.where(undone, -1, self.columns()[name])
        return Rows(**{**self.columns(), **changed})


def robust_after(steps: int, clean: Column, robust: Column, step: Column) -> Column:
    """Return which examples are robust if the attack stops after `steps` steps, bool (N,); arguments as in `Rows`."""
    return np.asarray(clean & (robust | (step > steps)))


def ids_sha256(ids: Column) -> str:
    """Return the SHA-256 of example ids in their order, in hex."""
    return hashlib.sha256(np.ascontiguousarray(ids.astype("<i8")).tobytes()).hexdigest()


def join(parts: Sequence[Rows]) -> Rows:
    """Concatenate the rows of several chunks."""
    columns = [part.columns() for part in parts]
    return Rows(**{name: np.concatenate([each[name] for each in columns]) for name in columns[0]})
