"""Masks that fit the examples: which values of each image attacks may change."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from robench.data.mask_values import MaskValues
from robench.data.split import Split
from robench.errors import InputError
from robench.specs.mask import MaskSummary

SHAPES = "(H, W), (C, H, W), (N, H, W) or (N, C, H, W)"
FEW = 3
"""Number of ids that a message names."""


@dataclass(frozen=True)
class Mask:
    """The values that attacks may change, for the examples of a split.

    Attributes:
        values: bool (1, C, H, W) if all examples share one mask, else (N, C, H, W) in the order of the split.
        ids: ids of the examples, int64 (N,).
        summary: number of values and SHA-256.
    """

    values: Tensor
    ids: Tensor
    summary: MaskSummary

    @classmethod
    def of(cls, values: Tensor, ids: Tensor) -> "Mask | None":
        """Build the mask from values, bool (1 or N, C, H, W); None if all values may change, which is no mask.

        Raises:
            InputError: an example has no value that may change.
        """
        if values.all():
            return None
        if (values == values[:1]).all():
            values = values[:1]
        counts = values.flatten(1).sum(1)
        if not counts.any():
            raise InputError("the mask is 0 everywhere, so no pixel may change: set the pixels that may change to 1.")
        if not counts.all():
            empty = ids[counts == 0].tolist()
            raise InputError(
                f"the mask is 0 everywhere for {len(empty)} examples (ids {empty[:FEW]}), so no pixel may change: "
                "leave these examples out, or set the pixels that may change to 1."
            )
        return cls(values, ids, _summary(values, ids))

    def at(self, rows: Tensor) -> Tensor:
        """Return the masks of some rows of the split, bool (M, C, H, W)."""
        shared = len(self.values) == 1
        return self.values.expand(len(rows), -1, -1, -1).contiguous() if shared else self.values[rows]

    def of_ids(self, ids: Tensor) -> Tensor:
        """Return the masks of the examples with some ids, bool (M, C, H, W)."""
        return self.at(ids if len(self.values) == 1 else _places(self.ids, ids))

    def only(self, ids: Tensor) -> "Mask | None":
        """Return the mask of the examples with some ids."""
        return Mask.of(self.values if len(self.values) == 1 else self.of_ids(ids), ids)


def fitted_mask(given: MaskValues, split: Split, everyone: Callable[[], Tensor] | None = None) -> Mask | None:
    """Compare a mask with the examples; return None if all values may change.

    Args:
        given: the mask; if it has a row for each example, these are the evaluated examples in their order, or those
            with its ids, or the whole dataset in its order.
        split: the evaluated examples.
        everyone: reads the ids of the whole dataset; None if the split is the whole dataset.

    Raises:
        InputError: the shape does not fit the images, examples are missing, or no pixel may change.
    """
    image = tuple(split.x.shape[1:])
    values = torch.from_numpy(np.ascontiguousarray(given.values))
    shape = tuple(values.shape)
    by_example = _by_example(shape, image, len(split), identified=given.ids is not None)
    if by_example is None:
        raise InputError(
            f"the mask has shape {shape}, the images (C, H, W) = {image}: give {SHAPES} for the images as the network "
            "gets them."
        )
    if not by_example:
        if given.ids is not None:
            raise InputError(f"the mask has ids, but shape {shape}: give (N, H, W) or (N, C, H, W), or leave ids out.")
        return Mask.of(values.expand(image)[None], split.ids)
    values = values[:, None].expand(-1, *image) if values.dim() == 3 else values
    return Mask.of(values[_rows(given.ids, len(values), split, everyone)], split.ids)


def _by_example(shape: tuple[int, ...], image: tuple[int, ...], n: int, *, identified: bool) -> bool | None:
    """Return whether a mask has a row for each example; None if its shape does not fit.

    Args:
        shape: of the mask.
        image: (C, H, W).
        n: number of examples.
        identified: whether the mask has ids, so that its first axis is of examples.

    Raises:
        InputError: a mask of three axes may be of channels or of examples.
    """
    if len(shape) == 4:
        return True if shape[1:] == image else None
    if len(shape) == 3 and shape[1:] == image[1:]:
        if identified:
            return True
        if shape[0] == image[0] == n and n > 1:
            raise InputError(
                f"the mask has shape {shape}, which may be of {n} channels or of {n} examples: give (N, C, H, W)."
            )
        return shape[0] != image[0]
    return False if shape == image[1:] else None


def _rows(ids: NDArray[np.int64] | None, n: int, split: Split, everyone: Callable[[], Tensor] | None) -> Tensor:
    """Return the row of each example of the split in a mask of n rows, int64 (N,)."""
    if ids is not None:
        if len(ids) != n:
            raise InputError(f"the mask has {n} rows but {len(ids)} ids: give one id for each row.")
        return _places(torch.from_numpy(ids), split.ids)
    if n == len(split):
        return torch.arange(n)
    total = split.about.total or len(split)
    if everyone is None or n != total:
        wanted = f"{len(split)}" if total == len(split) else f"{len(split)} evaluated ones of {total}"
        raise InputError(f"the mask has rows for {n} examples, there are {wanted}: give one row for each example.")
    return _places(everyone(), split.ids)


def _places(known: Tensor, wanted: Tensor) -> Tensor:
    place = {each: at for at, each in enumerate(known.tolist())}
    missing = [each for each in wanted.tolist() if each not in place]
    if missing:
        raise InputError(f"the mask has no row for {len(missing)} examples (ids {missing[:FEW]}): add them.")
    return torch.tensor([place[each] for each in wanted.tolist()], dtype=torch.int64)


def _summary(values: Tensor, ids: Tensor) -> MaskSummary:
    total = hashlib.sha256(f"{tuple(values.shape)}".encode())
    total.update(np.packbits(values.numpy()).tobytes())
    if len(values) > 1:
        total.update(np.ascontiguousarray(ids.numpy().astype("<i8")).tobytes())
    whole = bool((values == values[:, :1]).all())
    counted = (values[:, :1] if whole else values).flatten(1)
    counts = counted.sum(1)
    return MaskSummary(
        sha256=total.hexdigest(),
        unit="pixels" if whole else "values",
        least=int(counts.min()),
        most=int(counts.max()),
        of=counted.shape[1],
    )
