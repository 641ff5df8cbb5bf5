"""Tiny-ImageNet-C (Hendrycks and Dietterich, ICLR 2019; Zenodo, record 2536630): corruption/severity/class/*.JPEG.

Each corruption and severity has 200 classes of 50 images, 64x64. They were cropped anew out of ImageNet's validation
images (`make_tinyimagenet_c.py` in the authors' repository hendrycks/robustness, folder `imagenet_val_bbox_crop`), so
their names need not be those of Tiny-ImageNet's `val/`: images are numbered class by class, in the order of their file
names, as robench numbers the clean ones.
"""

from pathlib import Path

from robench.data.corrupted_folder import FolderSet, Layout, find_folder
from robench.data.tiny_imagenet import CLASSES, PER_CLASS, SIZE


def find(data_dir: Path, classes: int = CLASSES, per_class: int = PER_CLASS) -> FolderSet:
    """Find the folder Tiny-ImageNet-C below the data folder, else corruptions in the data folder itself.

    Args:
        data_dir: folder to search.
        classes: number of classes.
        per_class: number of images per class.

    Raises:
        DatasetNotFound: there is no corruption.
    """
    layout = Layout(
        "tiny-imagenet-c", "Tiny-ImageNet-C", "Zenodo, record 2536630", classes, per_class, SIZE,
        folders=("tiny-imagenet-c", "TinyImageNet-C", ""),
    )  # fmt: skip
    return find_folder(layout, data_dir)
