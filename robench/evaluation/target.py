"""Target classes of an evaluation: what every attack shall make of each example."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from robench.data.split import Split
from robench.errors import InputError

LeastLikely = Literal["least-likely"]
LEAST_LIKELY: LeastLikely = "least-likely"
"""The class with the lowest logit on the clean example (Kurakin et al. 2017, Adversarial machine learning at scale)."""


@dataclass(frozen=True)
class Target:
    """The class that attacks aim at.

    Attributes:
        text: names the target in records: a class number, `least-likely`, or a digest of one class per example.
        classes: the target of each example of the split, int64 (N,); None for the least likely class, which the judge
            finds on the clean examples.
    """

    text: str
    classes: Tensor | None = None


def aim(split: Split, target: int | Sequence[int] | str) -> tuple[Split, Target]:
    """Return the target, and the examples that can be led to it: those whose label is another class.

    An example whose label is its least likely class is misclassified, so it stays and counts as not robust.

    Args:
        split: the evaluated examples.
        target: a class for all examples, one class for each example in their order, or "least-likely".

    Raises:
        InputError: the target is neither, has another length, or is the label of every example.
    """
    if isinstance(target, str):
        if target != LEAST_LIKELY:
            raise InputError(
                f"target '{target}' is unknown: give a class number, one for each example, or '{LEAST_LIKELY}'."
            )
        return split, Target(LEAST_LIKELY)
    classes = _classes(split, target)
    kept = classes != split.y
    if not kept.any():
        raise InputError("the target is the label of every evaluated example: name another class.")
    classes = classes[kept]
    first = int(classes[0])
    text = str(first) if (classes == first).all() else f"given:{_sha256(classes)}"
    return (split if kept.all() else split.take(kept)), Target(text, classes)


def require_possible(target: Tensor, masked: Tensor) -> None:
    """Check that targets are classes that the network can predict.

    Args:
        target: classes (N,).
        masked: whether the network masks each class, bool (K,).

    Raises:
        InputError: a target is beyond the network's classes, or masked.
    """
    classes = len(masked)
    if int(target.max()) >= classes:
        raise InputError(
            f"target {int(target.max())} is beyond the network's {classes} classes: name one of 0 to {classes - 1}."
        )
    if masked[target].any():
        raise InputError(
            f"target {int(target[masked[target]][0])} is masked (its logit is -inf), so no image can become it: name "
            "another class."
        )


def _classes(split: Split, target: Any) -> Tensor:
    try:
        values = torch.as_tensor(np.asarray(target.cpu() if isinstance(target, Tensor) else target))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"target {target!r} is no class: give a number, or one for each example.") from error
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise InputError(f"target is {values.dtype}, expected class numbers, which are integers.")
    values = values.to(torch.int64)
    if values.dim() == 0:
        values = values.repeat(len(split))
    if values.shape != (len(split),):
        raise InputError(
            f"target has shape {tuple(values.shape)} for {len(split)} evaluated examples: "
            "give one class, or one for each example in their order."
        )
    if values.min() < 0:
        raise InputError(f"target {int(values.min())} is negative, expected class numbers from 0.")
    return values


def _sha256(classes: Tensor) -> str:
    return hashlib.sha256(np.ascontiguousarray(classes.numpy().astype("<i8")).tobytes()).hexdigest()
