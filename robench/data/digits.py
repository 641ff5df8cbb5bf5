"""The embedded dataset: scikit-learn's 8x8 scans of handwritten digits (Alpaydin and Kaynak 1998).

The scikit-learn wheel contains the 1,797 images; their values 0..16 are divided by 16. Each class is split
by the hash of its examples' numbers, so the 1,257 training and 540 test examples are the same everywhere.
"""

import gzip
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from robench.errors import InputError
from robench.store import Column

if TYPE_CHECKING:
    from robench.data.split import Split

SCANS = "datasets/data/digits.csv.gz"
"""The file of scikit-learn: 64 values and the label, one scan a line."""
TEST = 540
SHA256 = {
    "train": "ad8f35b312de0431a56900ed4a8032670c59c3e427f875e1298befe59340e509",
    "test": "a8046b5d8a64afa7f29935a9dd1bf8e10eb59d01836c337585459a8b0c296965",
}


def load(part: str, data_dir: Path | None = None) -> "Split":
    """Load the 'train' or 'test' split; ids are the examples' numbers in scikit-learn's order; `data_dir` is not used.

    Raises:
        InputError: the installed scikit-learn ships other data.
    """
    from robench.data.split import Split, stratified

    _, labels = _scans()
    test = np.array(stratified("digits", labels.tolist(), list(range(len(labels))), TEST))
    ids = test if part == "test" else np.setdiff1d(np.arange(len(labels)), test)
    split = Split.checked("digits", images(ids), labels[ids], ids)
    if split.sha256 != SHA256[part]:
        raise InputError(
            f"digits ({part}) has sha256 {split.sha256[:12]}, expected {SHA256[part][:12]}: "
            "install an unmodified scikit-learn."
        )
    return split


def images(ids: Column, data_dir: Path | None = None) -> Column:
    """Return the images with these ids, float32 (N, 1, 8, 8) in [0, 1]; torch is not imported."""
    return np.asarray(_scans()[0][ids] / 16, dtype=np.float32).reshape(-1, 1, 8, 8)


@cache
def _scans() -> tuple[Column, Column]:
    """Return all images, float64 (1797, 8, 8) from 0 to 16, and labels (1797,); the text file is parsed once.

    The file is read without scikit-learn, which takes two seconds to import, if it is at its usual place.
    """
    sklearn = find_spec("sklearn")
    path = Path(sklearn.origin).parent / SCANS if sklearn and sklearn.origin else None
    if path is None or not path.is_file():
        from sklearn.datasets import load_digits

        found = load_digits()
        return found.images, found.target
    with gzip.open(path, "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",")
    return table[:, :64].reshape(-1, 8, 8), table[:, 64].astype(int)
