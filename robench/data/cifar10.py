"""CIFAR-10 (Krizhevsky and Hinton 2009), from the published Python archive unpacked by torchvision."""

from pathlib import Path

import numpy as np

from robench.data.split import Split
from robench.errors import InputError
from robench.store import Column


def load(part: str, data_dir: Path) -> Split:
    """The 'train' or 'test' images in the set's own order; torchvision checks the files' checksums.

    Raises:
        InputError: the files are not there, or damaged.
    """
    from torchvision.datasets import CIFAR10

    try:
        raw = CIFAR10(str(data_dir), train=part == "train", download=False)
    except RuntimeError as error:
        raise InputError(
            f"CIFAR-10 is not in '{data_dir}' or is damaged: unpack cifar-10-python.tar.gz there, "
            "or name its folder with --data-dir."
        ) from error
    x = raw.data.transpose(0, 3, 1, 2).astype(np.float32) / 255
    return Split.checked("cifar10", x, np.array(raw.targets))


def images(ids: Column, data_dir: Path) -> Column:
    """The test images of some ids, float32 (N, 3, 32, 32) in [0, 1]."""
    found: Column = load("test", data_dir).x.numpy()[ids]
    return found
