"""CIFAR-10-C: the published corrupted test images of CIFAR-10 (Zenodo, record 2535967)."""

from pathlib import Path

from robench.data import cifar10
from robench.data.cifar_c import COUNT, CifarC, Edition, find_edition
from robench.data.npy_files import Publication

MD5 = "56bf5dcef84df0e2308c6dcbcbbd8499"


def find(data_dir: Path, count: int = COUNT, md5: str = MD5) -> CifarC:
    """Find CIFAR-10-C, as a folder or as the published archive.

    Args:
        data_dir: folder to search.
        count: number of images per severity.
        md5: the archive's checksum.

    Raises:
        DatasetNotFound: neither is there.
        InputError: the archive is not the published one.
    """
    published = Publication("CIFAR-10-C", "2535967", md5)
    edition = Edition(published, "cifar10-c", "CIFAR-10", 10, lambda folder: cifar10.load("test", folder))
    return find_edition(edition, data_dir, count)
