"""Labels and normalisation that datasets tell without reading an image."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from robench.data.elements import LABELS

TARGETS = ("targets", "labels")
"""Attributes in which datasets of torchvision keep their labels."""


def known_labels(dataset: Any) -> np.ndarray[Any, Any] | None:
    """Return the labels that a dataset keeps beside its images, (N,) or one-hot (N, K); None if it keeps none.

    The labels that the dataset gives with its images may differ from these, so they must be compared.
    """
    if isinstance(dataset, Subset):
        inner = known_labels(dataset.dataset)
        return None if inner is None else inner[np.asarray(dataset.indices, dtype=np.int64)]
    if isinstance(dataset, ConcatDataset):
        parts = [known_labels(part) for part in dataset.datasets]
        there = [part for part in parts if part is not None]
        return np.concatenate(there) if len(there) == len(parts) else None
    if isinstance(dataset, TensorDataset):
        return np.asarray(dataset.tensors[1]) if len(dataset.tensors) > 1 else None
    if getattr(dataset, "target_transform", None) is not None:
        return None
    found = next((getattr(dataset, name) for name in TARGETS if hasattr(dataset, name)), _column(dataset))
    labels = None if found is None else np.asarray(found)
    fits = labels is not None and labels.ndim > 0 and labels.dtype.kind in "iu" and len(labels) == len(dataset)
    return labels if fits else None


def _column(dataset: Any) -> Any:
    """Return the column of labels of a Hugging Face dataset, without its transform; None if there is none."""
    names = getattr(dataset, "column_names", None)
    if not isinstance(names, list):
        return None
    name = next((name for name in LABELS if name in names), None)
    return None if name is None else list(dataset.with_format(None)[name])


def normalisation(dataset: Any) -> tuple[Any, Any] | None:
    """Return mean and std of a Normalize among a dataset's transforms; None if there is none that changes images."""
    for each in _transforms(dataset):
        if type(each).__name__ == "Normalize" and hasattr(each, "mean") and hasattr(each, "std"):
            mean, std = (np.atleast_1d(np.asarray(values, dtype=float)) for values in (each.mean, each.std))
            if mean.any() or (std != 1).any():
                return mean.tolist(), std.tolist()
    return None


def _transforms(holder: Any) -> Iterator[Any]:
    """Yield the transforms of a dataset and of those inside it, one by one."""
    for inner in (getattr(holder, "dataset", None), *(getattr(holder, "datasets", None) or ())):
        if inner is not None:
            yield from _transforms(inner)
    for held in (getattr(holder, "transform", None), getattr(holder, "transforms", None)):
        for each in held if isinstance(held, list | tuple) else [held]:
            if each is not None:
                yield each
                yield from _transforms(each)
