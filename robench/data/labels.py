"""Class numbers from labels in any usual form, and tensors from any arrays."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from robench.errors import InputError
from robench.store import Column

LARGEST = 2.0**53
"""Largest float up to which every whole number is exact."""


def class_numbers(name: str, y: Any) -> Tensor:
    """Return labels as class numbers, int64 (N,).

    Args:
        name: of the dataset, for messages.
        y: whole numbers, also as floats, (N,) or (N, 1), or one-hot rows (N, K).

    Raises:
        InputError: the labels are anything else, or negative, as the labels of examples without one often are.
    """
    labels = as_tensor(name, "labels", y)
    if labels.dim() == 2:
        labels = labels[:, 0] if labels.shape[1] == 1 else _from_one_hot(name, labels)
    if labels.dim() != 1:
        raise InputError(f"'{name}': labels have shape {tuple(labels.shape)}, expected class numbers (N,).")
    labels = integers(name, "labels", _from_floats(name, labels))
    if len(labels) and labels.min() < 0:
        raise InputError(
            f"'{name}': label {int(labels.min())} is negative, expected class numbers from 0: leave examples without a "
            "label out."
        )
    return labels


def integers(name: str, what: str, values: Tensor) -> Tensor:
    """Return whole numbers as int64.

    Raises:
        InputError: the values have another type.
    """
    if values.is_floating_point() or values.is_complex() or values.dtype == torch.bool:
        raise InputError(f"'{name}': {what} are {values.dtype}, expected integers: convert them to int64.")
    return values.to(torch.int64)


def as_tensor(name: str, what: str, values: Any) -> Tensor:
    """Return an array or a tensor as a tensor on the CPU.

    Raises:
        InputError: it is neither, or holds no numbers.
    """
    try:
        tensor = values if isinstance(values, Tensor) else torch.as_tensor(_native(np.asarray(values)))
    except (TypeError, ValueError, RuntimeError) as error:
        kind = getattr(values, "dtype", type(values).__name__)
        raise InputError(f"'{name}': {what} are {kind}, expected a tensor or an array of numbers.") from error
    return tensor.detach().cpu()


def _from_one_hot(name: str, labels: Tensor) -> Tensor:
    ones, zeros = labels == 1, labels == 0
    bad = ~((ones.sum(1) == 1) & (ones | zeros).all(1))
    if bad.any():
        row = int(bad.nonzero()[0])
        raise InputError(
            f"'{name}': labels have shape {tuple(labels.shape)}, and row {row} is not one-hot, a single 1 among zeros: "
            "give one class number per image."
        )
    return ones.to(torch.int64).argmax(1)


def _from_floats(name: str, labels: Tensor) -> Tensor:
    """Return floats that are whole numbers as int64, and other types as they are."""
    if not labels.is_floating_point():
        return labels
    if labels.isnan().any():
        raise InputError(f"'{name}': {int(labels.isnan().sum())} labels are NaN: leave examples without a label out.")
    strange = (labels != labels.trunc()) | (labels.abs() > LARGEST)
    if strange.any():
        value = labels[strange][0].item()
        raise InputError(f"'{name}': label {value:.9g} is no whole number: give one class number per image.")
    return labels.to(torch.int64)


def _native(values: Column) -> Column:
    """Return an array in the byte order of this machine and without negative strides, as torch takes it."""
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("="), copy=False))
