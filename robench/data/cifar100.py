"""CIFAR-100 (Krizhevsky and Hinton 2009), its hundred fine labels, from the published Python archive."""

from pathlib import Path

from robench.data.cifar import load_cifar
from robench.data.split import Split


def load(part: str, data_dir: Path, *, download: bool = False) -> Split:
    """Load the 'train' or 'test' images in the dataset's order; torchvision verifies the files' checksums.

    Raises:
        InputError: the files are not there, or damaged.
    """
    return load_cifar("cifar100", "CIFAR100", "cifar-100-python.tar.gz", part, data_dir, download)
