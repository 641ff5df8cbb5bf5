"""Splits of decoded images; the cache keeps the digest of a split beside the bytes."""

import hashlib
import re
from collections.abc import Sequence

import torch

from robench.data.about import NOTHING, About
from robench.data.decode import Encoded, decoded
from robench.data.pixels import Pixels
from robench.data.reading import AS_IT_IS, Reading
from robench.data.split import Split, sha256_of
from robench.errors import InputError
from robench.paths import write_text


def split_of(
    name: str,
    images: Encoded,
    labels: Sequence[int],
    reading: Reading = AS_IT_IS,
    about: About = NOTHING,
    ids: Sequence[int] | None = None,
) -> Split:
    """Make a split of encoded images and their class numbers.

    Args:
        name: of the dataset.
        images: one per label.
        labels: class numbers.
        reading: sizes of the images.
        about: the place of the images.
        ids: a number per image; by default they count from 0.

    Raises:
        InputError: there are no images, or one is damaged or of another size.
    """
    if not images:
        raise InputError(f"'{name}' has no images: give at least one.")
    prepare = reading.prepare if reading.how else None
    raw, path = decoded(images, prepare, reading.how, upright=reading.upright)
    x, y = Pixels(raw), torch.tensor(labels, dtype=torch.int64)
    whole = torch.arange(len(images))
    numbers = whole if ids is None else torch.tensor(ids, dtype=torch.int64)
    numbered = b"" if torch.equal(numbers, whole) else numbers.numpy().tobytes()
    labelled = hashlib.sha256(y.numpy().tobytes() + numbered).hexdigest()[:16]
    note = path.with_name(f"{path.stem}-{labelled}.sha256")
    digest = note.read_text(encoding="ascii", errors="replace") if note.is_file() else ""
    if not re.fullmatch("[0-9a-f]{64}", digest):
        digest = sha256_of(x, y, numbers)
        write_text(note, digest)
    return Split(name, x, y, numbers, digest, about)
