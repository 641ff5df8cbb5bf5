"""A checked set of examples."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from robench.data.about import NOTHING, About
from robench.data.labels import as_tensor, class_numbers, integers
from robench.data.order import chosen_ids
from robench.data.pixels import Images, Pixels, Rows, take
from robench.errors import InputError
from robench.store import Column, ids_sha256

IMAGE_DIMS = 4
BYTE = 255
"""Largest value of images in bytes."""
ROUNDING = 1e-3
"""Distance from [0, 1] up to which rounding explains a pixel outside."""
CHOSEN = "chosen by seed 0 with every class in proportion, the same for every network"
"""The note on the examples of `--limit`."""


@dataclass(frozen=True)
class Split:
    """Checked examples, the input of an evaluation.

    Attributes:
        name: the dataset's name.
        x: images in [0, 1], float32, (N, C, H, W), or `Pixels`, which look the same.
        y: labels, int64, (N,).
        ids: stable over runs, int64, (N,).
        sha256: of the whole set's x, y and ids, in hex.
        about: the place of the examples; no part of their identity.
    """

    name: str
    x: Images
    y: Tensor
    ids: Tensor
    sha256: str
    about: About = NOTHING

    @classmethod
    def checked(cls, name: str, x: Any, y: Any, ids: Any = None) -> "Split":
        """Build a split from arrays or tensors.

        Raises:
            InputError: dtype, range, shape, length or labels do not fit, or there is NaN; the message says which.
        """
        images, labels = _images(name, x), class_numbers(name, y)
        if not len(images):
            raise InputError(f"'{name}' has no examples: give at least one.")
        if len(labels) != len(images):
            raise InputError(f"'{name}' has {len(images)} images but {len(labels)} labels: give one label per image.")
        numbers = _ids(name, ids, len(images))
        return cls(name, images, labels, numbers, sha256_of(images, labels, numbers))

    def __len__(self) -> int:
        return len(self.x)

    def limit(self, n: int | None) -> "Split":
        """Return the first n examples.

        Raises:
            InputError: n is not positive.
        """
        if n is None or n >= len(self):
            return self
        if n < 1:
            raise InputError(f"--limit {n} must be at least 1.")
        return self.take(slice(n))

    def only(self, ids: Sequence[int]) -> "Split":
        """Return the examples with these ids, in the split's order.

        Raises:
            InputError: there is no example with such an id.
        """
        known = set(self.ids.tolist())
        span = f"{len(known)} ids lie between {min(known)} and {max(known)}"
        for each in ids:
            if each not in known:
                raise InputError(f"'{self.name}' has no example {each}: its {span}.")
        return self.take(torch.isin(self.ids, torch.tensor(ids, dtype=torch.int64)))

    def identity(self) -> dict[str, Any]:
        """Return everything about the data that can change a verdict."""
        return {"name": self.name, "sha256": self.sha256, "ids": ids_sha256(self.ids.numpy()), "n": len(self)}

    def stratified(self, n: int) -> tuple["Split", "Split"]:
        """Cut the split in two: all but n examples, and n examples with every class in proportion."""
        if n > len(self):
            raise InputError(f"recipe, key 'holdout': {n} of {len(self)} examples cannot be held out.")
        ids = self.ids.tolist()
        chosen = set(stratified(self.name, dict(zip(ids, self.y.tolist(), strict=True)), ids, n))
        mask = torch.tensor([i in chosen for i in ids])
        return self.take(~mask), self.take(mask)

    def first(self, n: int | None, name: str | None = None) -> "Split":
        """Return the examples that `--limit n` takes: n with every class in proportion, whatever their order.

        The examples of a smaller n are among them.

        Args:
            n: number of examples; None, or more than there are, for all.
            name: the choice depends on it; by default the split's.

        Raises:
            InputError: n is not positive.
        """
        if n is None or n >= len(self):
            return self
        if n < 1:
            raise InputError(f"--limit {n} must be at least 1.")
        ids = self.ids.tolist()
        labels = dict(zip(ids, self.y.tolist(), strict=True))
        chosen = set(chosen_ids(self.name if name is None else name, labels, ids, n))
        return self.take(torch.tensor([i in chosen for i in ids])).noted(len(self))

    def noted(self, total: int) -> "Split":
        """Return the split with a note on its choice, if it holds fewer than `total` examples."""
        if len(self) == total:
            return self
        about = replace(self.about, total=self.about.total or total, notes=(*self.about.notes, CHOSEN))
        return replace(self, about=about)

    def sample(self, n: int, seed: int) -> "Split":
        """Choose n examples by the seed, every class in proportion, in the split's order; each n has its own choice.

        Args:
            n: number of examples.
            seed: of the choice.

        Raises:
            InputError: n is not positive, or there are fewer examples.
        """
        if not 1 <= n <= len(self):
            raise InputError(f"--limit {n} must be between 1 and {len(self)}, the number of examples.")
        ids = self.ids.tolist()
        labels = dict(zip(ids, self.y.tolist(), strict=True))
        chosen = set(stratified(f"{self.name}/sample/{seed}", labels, ids, n))
        return self.take(torch.tensor([i in chosen for i in ids]))

    def images(self, ids: Column) -> Column:
        """Return the images with these ids, float32 (M, C, H, W).

        Raises:
            KeyError: there is no such id.
        """
        place = {i: at for at, i in enumerate(self.ids.tolist())}
        return self.x[torch.tensor([place[i] for i in ids.tolist()])].numpy()

    def take(self, rows: Rows) -> "Split":
        """Return some of the examples, by a slice, row numbers or a mask."""
        return replace(self, x=take(self.x, rows), y=self.y[rows], ids=self.ids[rows])


def first_rows(name: str, labels: Sequence[int], n: int | None) -> list[int]:
    """Return the row numbers that `--limit n` takes, in order: those of `Split.first` where ids are row numbers.

    A loader decodes only these images.
    """
    rows = list(range(len(labels)))
    return rows if n is None or n >= len(rows) else chosen_ids(name, labels, rows, n)


def first_ids(labels: Sequence[int], ids: Sequence[int], n: int | None) -> list[int]:
    """Return the places that `--limit n` takes, in order: those of `Split.first` on user data with these ids."""
    if n is None or n >= len(ids):
        return list(range(len(ids)))
    chosen = set(chosen_ids("", dict(zip(ids, labels, strict=True)), ids, n))
    return [place for place, each in enumerate(ids) if each in chosen]


def stratified(name: str, labels: Mapping[int, int] | Sequence[int], ids: list[int], n: int) -> list[int]:
    """Choose n of the ids, every class in proportion, by the hash of each id; no random numbers are drawn.

    Args:
        name: of the dataset; it is hashed with each id.
        labels: the label of every id, indexed by id.
        ids: the ids to choose from.
        n: number of ids to choose.
    """
    ranked = sorted(ids, key=lambda i: (labels[i], hashlib.sha256(f"{name}/{i}".encode()).hexdigest()))
    total = len(ranked)
    return sorted(i for p, i in enumerate(ranked) if (p + 1) * n // total > p * n // total)


def _images(name: str, x: Any) -> Images:
    if isinstance(x, Pixels):  # bytes cannot be out of range
        return x
    images = as_tensor(name, "images", x)
    if images.dim() != IMAGE_DIMS or 0 in images.shape[1:]:
        raise InputError(f"'{name}': images have shape {tuple(images.shape)}, expected (N, C, H, W).")
    if not images.is_floating_point():
        raise InputError(f"'{name}': images are {images.dtype}, expected floats in [0, 1]: {_scale(images)}.")
    images = images.float().contiguous()
    if not torch.isfinite(images).all():
        bad = (~torch.isfinite(images.flatten(1)).all(1)).nonzero().flatten().tolist()
        count = f"{len(bad)} examples (first: {bad[0]})"
        raise InputError(f"'{name}': NaN or infinite pixels in {count}: repair or drop them.")
    if len(images) and (images.min() < 0 or images.max() > 1):
        low, high = images.min().item(), images.max().item()
        raise InputError(f"'{name}': pixels lie in [{low:.9g}, {high:.9g}], expected [0, 1]: {_mend(low, high)}.")
    return images


def _scale(images: Tensor) -> str:
    """Return the remedy for images that are no floats."""
    if images.dtype == torch.bool or images.is_complex():
        return "convert them to floats"
    return f"divide by {BYTE}" if images.dtype == torch.uint8 else _divide(images.double().max().item())


def _divide(high: float) -> str:
    """Return by what images with this largest value should be divided."""
    return f"divide by {BYTE}" if BYTE / 2 < high <= BYTE else "divide by the largest value of their scale"


def _mend(low: float, high: float) -> str:
    """Return the remedy for pixels outside [0, 1]."""
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return "clip what rounding left outside"
    if low >= 0:
        return _divide(high)
    return "take Normalize out of the data, and give its numbers as mean and std of the network"


def _ids(name: str, ids: Any, n: int) -> Tensor:
    if ids is None:
        return torch.arange(n)
    numbers = integers(name, "ids", as_tensor(name, "ids", ids))
    if numbers.shape != (n,):
        raise InputError(f"'{name}': ids have shape {tuple(numbers.shape)}, expected ({n},): one per image.")
    if numbers.min() < 0 or len(numbers.unique()) != n:
        raise InputError(f"'{name}': ids must be different numbers from 0: they key the random draws.")
    return numbers


def sha256_of(x: Images, y: Tensor, ids: Tensor) -> str:
    """Return the SHA-256 of images as floats, labels and ids; floats and bytes of the same images give the same."""
    total = hashlib.sha256()
    for block in x.blocks() if isinstance(x, Pixels) else (x,):
        total.update(np.ascontiguousarray(block.numpy().astype("<f4")).data)
    for tensor in (y, ids):
        total.update(np.ascontiguousarray(tensor.numpy().astype("<i8")).data)
    return total.hexdigest()
