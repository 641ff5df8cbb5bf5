"""Tiny-ImageNet (Stanford CS231n) as it is unpacked: `train/<class>/images/`, `val/` with a file of annotations.

The validation images are the test part, as usual: the images of `test/` have no labels. Examples are numbered class by
class, in the order of their file names, as in Tiny-ImageNet-C.
"""

from pathlib import Path

from robench.data.about import About
from robench.data.annotated import NAMES
from robench.data.decode import Encoded
from robench.data.decoded_split import split_of
from robench.data.folder import listing, root
from robench.data.image_files import LeftOut
from robench.data.split import Split, first_rows
from robench.errors import InputError

NAME = "tiny-imagenet"
FOLDER = "tiny-imagenet-200"
CLASSES, PER_CLASS, SIZE = 200, 50, 64


def load(part: str, data_dir: Path, limit: int | None = None, classes: int = CLASSES) -> Split:
    """Load images, 64x64.

    Args:
        part: 'train' or 'test' (the validation images).
        data_dir: holds tiny-imagenet-200/, or what is in it: wnids.txt, train/ and val/.
        limit: number of images to choose and decode.
        classes: number of classes.

    Raises:
        InputError: the folders are not there, or hold other classes.
    """
    place = next((each for each in (data_dir / FOLDER, data_dir) if (each / NAMES).is_file()), None)
    if place is None:
        raise InputError(
            f"Tiny-ImageNet is not in '{data_dir}': unpack tiny-imagenet-200.zip (cs231n.stanford.edu) there, or name "
            "its folder with --data-dir."
        )
    where = root(place, part)[0]
    found = listing(where, LeftOut())
    if len(found.classes) != classes:
        raise InputError(f"'{where}' has {len(found.classes)} classes, expected {classes}: unpack Tiny-ImageNet again.")
    order = sorted(range(len(found.paths)), key=lambda at: (found.numbers[at], Path(found.paths[at]).name))
    labels = [found.numbers[at] for at in order]
    rows = first_rows(NAME, labels, limit)
    images = Encoded.files([found.paths[order[row]] for row in rows])
    about = About(total=len(labels))
    return split_of(NAME, images, [labels[row] for row in rows], about=about, ids=rows).noted(len(labels))
