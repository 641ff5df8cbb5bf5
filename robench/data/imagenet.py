"""ImageNet (ILSVRC 2012) from its folders of JPEG files, train/ and val/ with one folder per class."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from robench.data.decode import Encoded
from robench.data.decoded_split import split_of
from robench.data.reading import Reading
from robench.data.split import Split, first_rows, stratified
from robench.errors import InputError

FOLDERS = {"train": "train", "test": "val"}
RESIZE, CROP = 256, 224
READING = Reading(RESIZE, CROP, upright=False)
"""Published numbers take the images as they are stored, without their EXIF orientation."""


def load(part: str, data_dir: Path, limit: int | None = None) -> Split:
    """Load images, resized to 256 and cropped to the central 224, in the order of class folders and file names.

    Args:
        part: 'train' or 'test' (the validation images).
        data_dir: holds train/ and val/.
        limit: number of images to choose and decode; all of them take 7.5 GB on disk.

    Raises:
        InputError: the folders are not there.
    """
    found = files(part, data_dir, augmented=False).samples
    rows = first_rows("imagenet", [label for _, label in found], limit)
    images = Encoded.files([found[row][0] for row in rows])
    return split_of("imagenet", images, [found[row][1] for row in rows], READING, ids=rows).noted(len(found))


def files(part: str, data_dir: Path, augmented: bool) -> Any:
    """Return the image files as a torchvision ImageFolder, randomly cropped and flipped if `augmented`.

    Raises:
        InputError: the folders are not there.
    """
    from torchvision import transforms
    from torchvision.datasets import ImageFolder

    if augmented:
        steps = [transforms.RandomResizedCrop(CROP), transforms.RandomHorizontalFlip()]
    else:
        steps = [transforms.Resize(RESIZE), transforms.CenterCrop(CROP)]
    try:
        return ImageFolder(str(data_dir / FOLDERS[part]), transforms.Compose([*steps, transforms.ToTensor()]))
    except FileNotFoundError as error:
        raise InputError(
            f"ImageNet is not in '{data_dir}': it needs {FOLDERS[part]}/<class>/*.JPEG there, "
            "or name its folder with --data-dir."
        ) from error


def held_out(labels: Sequence[int], n: int, data_dir: Path) -> Split:
    """Return n training images, every class in proportion, cropped as for testing."""
    ids = stratified("imagenet", labels, list(range(len(labels))), n)
    return take(files("train", data_dir, augmented=False), ids)


def take(folder: Any, ids: list[int]) -> Split:
    """Make a split of some images of a folder; ids are the places in the folder."""
    try:
        pairs = [folder[i] for i in ids]
    except OSError as error:  # what Pillow raises for a damaged image
        raise InputError(f"an image file is damaged ({error}): restore it or take it out.") from error
    x = torch.stack([image for image, _ in pairs]) if pairs else torch.empty(0, 3, CROP, CROP)
    if not pairs:
        labels = torch.empty(0, dtype=torch.int64)
        return Split("imagenet", x, labels, labels, "")
    return Split.checked("imagenet", x, torch.tensor([label for _, label in pairs], dtype=torch.int64), ids)
