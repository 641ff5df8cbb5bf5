"""CIFAR-10 (Krizhevsky and Hinton 2009), from the published Python archive unpacked by torchvision."""

from pathlib import Path

from robench.data.cifar import load_cifar
from robench.data.split import Split


def load(part: str, data_dir: Path, *, download: bool = False) -> Split:
    """Load the 'train' or 'test' images in the dataset's order; torchvision verifies the files' checksums.

    Raises:
        InputError: the files are not there, or damaged.
    """
    return load_cifar("cifar10", "CIFAR10", "cifar-10-python.tar.gz", part, data_dir, download)
