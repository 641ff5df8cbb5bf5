"""ImageNet-3DCC (Kar, Yeo, Atanov, Zamir: 3D Common Corruptions, CVPR 2022): corruption/severity/class/*.JPEG.

Twelve corruptions of the 50,000 validation images of ImageNet, one archive each at datasets.epfl.ch/3dcc. The layout is
that of ImageNet-C, as the authors' task for the Shift Happens benchmark reads it (an ImageFolder per corruption and
severity), and RobustBench (`load_imagenet3dcc`), in the folder ImageNet-3DCC. Images of another size than 224x224 are
resized, as RobustBench does it for corruptions.
"""

from pathlib import Path

from robench.data.corrupted import IN_3D
from robench.data.corrupted_folder import FolderSet, Layout, find_folder
from robench.data.imagenet_c import CLASSES, PER_CLASS, SIZE, clean


def find(data_dir: Path, classes: int = CLASSES, per_class: int = PER_CLASS, size: int = SIZE) -> FolderSet:
    """Find the folder ImageNet-3DCC below the data folder, else corruptions in the data folder itself.

    Args:
        data_dir: folder to search; the clean images may be in val/ there.
        classes: number of classes, if the clean images are not there.
        per_class: number of images per class, if the clean images are not there.
        size: pixels of an image's side.

    Raises:
        DatasetNotFound: there is no corruption.
    """
    layout = Layout(
        "imagenet-3dcc", "ImageNet-3DCC", "https://datasets.epfl.ch/3dcc", classes, per_class, size,
        family=IN_3D, folders=("imagenet-3dcc", "imagenet_3dcc", ""), clean=clean, resized=True,
    )  # fmt: skip
    return find_folder(layout, data_dir)
