"""The loader that CIFAR-10 and CIFAR-100 share: torchvision reads the published archives."""

from pathlib import Path

import numpy as np

from robench.data.pixels import Pixels
from robench.data.split import Split
from robench.errors import InputError


def load_cifar(name: str, reader: str, archive: str, part: str, data_dir: Path, download: bool) -> Split:
    """Load a part in the dataset's order, kept as bytes.

    Args:
        name: of the dataset.
        reader: name of the class in torchvision.
        archive: name of the published archive.
        part: 'train' or 'test'.
        data_dir: folder of the files.
        download: fetch the files if they are not there, and verify their checksum.

    Raises:
        InputError: the files are not there, cannot be fetched, or are damaged.
    """
    from torchvision import datasets

    try:
        raw = getattr(datasets, reader)(str(data_dir), train=part == "train", download=download)
    except (RuntimeError, OSError) as error:
        if download:
            raise InputError(f"{archive} cannot be fetched into '{data_dir}' ({error}): try again later.") from error
        raise InputError(
            f"{name} is not in '{data_dir}' or is damaged: run `robench download {name} --data-dir {data_dir}`, unpack "
            f"{archive} there, or name its folder with --data-dir."
        ) from error
    return Split.checked(name, Pixels(raw.data), np.array(raw.targets))
