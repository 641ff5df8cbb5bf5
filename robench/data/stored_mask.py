"""Masks beside the raw records that were made with them, so that their points can be judged again."""

from pathlib import Path

import numpy as np
import torch

from robench.data.mask import Mask
from robench.data.mask_values import IDS, NAME, read_mask
from robench.errors import InputError
from robench.paths import atomic_path
from robench.store import SHORT

FOLDER = "masks"
"""Folder of the masks of a dataset: results/raw/<dataset>/masks/<sha256>.npz."""


def store_mask(mask: Mask, folder: Path) -> None:
    """Write a mask into a folder, in a form that `--mask` reads, unless it is there."""
    path = _path(folder, mask.summary.sha256)
    if path.is_file():
        return
    values = mask.values.numpy()
    arrays = {NAME: values[0]} if len(values) == 1 else {NAME: values, IDS: mask.ids.numpy()}
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def stored_mask(folder: Path, sha256: str, ids: torch.Tensor) -> Mask | None:
    """Read a mask for examples with some ids; return None if it is not in the folder.

    Raises:
        InputError: the file is damaged, or holds another mask than its name says.
    """
    path = _path(folder, sha256)
    if not path.is_file():
        return None
    given = read_mask(path)
    values = torch.from_numpy(given.values)
    found = Mask.of(values[None], ids) if given.ids is None else Mask.of(values, torch.from_numpy(given.ids))
    if found is None or found.summary.sha256 != sha256:
        raise InputError(f"mask '{path}' is not what its name says: run the same command again without the file.")
    return found


def _path(folder: Path, sha256: str) -> Path:
    return folder / f"{sha256[:SHORT]}.npz"
