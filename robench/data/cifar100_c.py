"""CIFAR-100-C: the published corrupted test images of CIFAR-100, with fine labels (Zenodo, record 3555552)."""

from pathlib import Path

from robench.data import cifar100
from robench.data.cifar_c import COUNT, CifarC, Edition, find_edition
from robench.data.npy_files import Publication

MD5 = "11f0ed0f1191edbf9fa23466ae6021d3"


def find(data_dir: Path, count: int = COUNT, md5: str = MD5) -> CifarC:
    """Find CIFAR-100-C, as a folder or as the published archive.

    Args:
        data_dir: folder to search.
        count: number of images per severity.
        md5: the archive's checksum.

    Raises:
        DatasetNotFound: neither is there.
        InputError: the archive is not the published one.
    """
    published = Publication("CIFAR-100-C", "3555552", md5)
    edition = Edition(published, "cifar100-c", "CIFAR-100", 100, lambda folder: cifar100.load("test", folder))
    return find_edition(edition, data_dir, count)
