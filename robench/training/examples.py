"""Sources of mini-batches: tensors in memory, or image files that worker processes decode."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from robench.data import DEFAULT_DIR, Dataset
from robench.data.split import Split
from robench.devices import usable_cores
from robench.errors import InputError
from robench.specs import Recipe
from robench.training.augment import AUGMENTS

WORKERS = 4


class Examples(Protocol):
    """Training examples without the held-out ones."""

    held: Split

    def __len__(self) -> int: ...

    def batches(self, rows: Sequence[Tensor], generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield augmented images and labels of each mini-batch of row numbers."""


def examples(dataset: Dataset, recipe: Recipe, data_dir: Path | None) -> Examples:
    """Return the training examples of a dataset for a recipe.

    Raises:
        InputError: the data is not there, or the augmentation does not fit.
    """
    if (recipe.augment == "resized_crop_flip") != dataset.in_files:
        fitting = "resized_crop_flip" if dataset.in_files else ", ".join(AUGMENTS)
        raise InputError(f"recipe, key 'augment': '{dataset.name}' is augmented by {fitting}.")
    if dataset.in_files:
        return _InFiles(dataset, recipe, data_dir)
    return _InMemory(dataset.load("train", data_dir), recipe)


class _InMemory:
    def __init__(self, split: Split, recipe: Recipe) -> None:
        self.fit, self.held = split.stratified(recipe.holdout)
        self.augment = AUGMENTS[recipe.augment]

    def __len__(self) -> int:
        return len(self.fit)

    def batches(self, rows: Sequence[Tensor], generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        for at in rows:
            yield self.augment(self.fit.x[at], generator), self.fit.y[at]


class _InFiles:
    def __init__(self, dataset: Dataset, recipe: Recipe, data_dir: Path | None) -> None:
        folder = data_dir or DEFAULT_DIR
        files: Any = dataset.module.files("train", folder, augmented=True)
        labels = list(files.targets)
        self.held = dataset.module.held_out(labels, recipe.holdout, folder)
        held = set(self.held.ids.tolist())
        self.fit = Subset(files, [i for i in range(len(labels)) if i not in held])

    def __len__(self) -> int:
        return len(self.fit)

    def batches(self, rows: Sequence[Tensor], generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        seed = int(torch.randint(2**31, (), generator=generator))
        workers = torch.Generator().manual_seed(seed)
        sampler = [at.tolist() for at in rows]
        yield from DataLoader(
            self.fit,
            batch_sampler=sampler,
            num_workers=min(WORKERS, usable_cores()),
            generator=workers,
            pin_memory=torch.cuda.is_available(),
        )
