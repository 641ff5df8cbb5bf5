"""Examples out of what datasets and loaders give: pairs, dictionaries, batches, Pillow's images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from robench.data.colours import as_rgb
from robench.errors import InputError

IMAGES = ("image", "img", "images", "pixel_values", "x", "input", "inputs", "jpg", "png")
"""Keys of images in dictionaries, those of Hugging Face first."""
LABELS = ("label", "labels", "fine_label", "class", "cls", "y", "target", "targets")
"""Keys of labels in dictionaries."""
GREY = ("1", "L", "LA", "La", "I;16", "I;16L", "I;16B", "I;16N")
"""Pillow's modes of grey images."""
PAIR, BATCH_DIMS = 2, 4
MEND = "let the dataset give (image, label)"


class Example(NamedTuple):
    """One image in its own layout, and its label.

    Attributes:
        image: bytes or floats, (C, H, W), (H, W, C) or (H, W).
        label: a class number, or an array.
        kind: where the image comes from: `tensor`, `array` or `pillow`.
        extra: number of things beside image and label, which are left out.
    """

    image: NDArray[Any]
    label: Any
    kind: str
    extra: int = 0


@dataclass(frozen=True)
class Reader:
    """Reads the examples of elements.

    Attributes:
        what: name of the dataset or loader, for messages.
        batched: whether every element is a batch; otherwise only images with four axes are.
    """

    what: str
    batched: bool = False

    def examples(self, element: Any) -> Iterator[Example]:
        """Yield the examples of one element.

        Raises:
            InputError: the element has no image or no label, or a batch has more images than labels.
        """
        image, label, extra = self._parts(element)
        if self.batched or isinstance(image, list | tuple) or getattr(image, "ndim", 0) == BATCH_DIMS:
            if len(image) != _count(label):
                raise InputError(
                    f"{self.what} gives {len(image)} images but {_count(label)} labels in a batch: {MEND}."
                )
            for one, its in zip(image, label, strict=True):
                yield Example(*self._pixels(one, its), extra)
        else:
            yield Example(*self._pixels(image, label), extra)

    def _parts(self, element: Any) -> tuple[Any, Any, int]:
        """Return image, label and the number of other parts."""
        if isinstance(element, Mapping):
            return self._by_key(element)
        if not isinstance(element, list | tuple):
            raise InputError(f"{self.what} gives {type(element).__name__} objects, without labels: {MEND}.")
        if len(element) < PAIR:
            raise InputError(f"{self.what} gives images without labels: {MEND}.")
        return element[0], element[1], len(element) - PAIR

    def _by_key(self, element: Mapping[str, Any]) -> tuple[Any, Any, int]:
        found = []
        for known, what in ((IMAGES, "an image"), (LABELS, "a label")):
            key = next((key for key in known if key in element), None)
            if key is None:
                keys = ", ".join(map(str, element))
                raise InputError(f"{self.what} gives the keys {keys}, expected one of {', '.join(known)} for {what}.")
            found.append(element[key])
        return found[0], found[1], len(element) - PAIR

    def _pixels(self, image: Any, label: Any) -> tuple[NDArray[Any], Any, str]:
        """Return an image as an array, its label, and where the image comes from."""
        if label is None:
            raise InputError(f"{self.what} gives the label None: leave examples without a label out.")
        label = label.detach().cpu().numpy() if isinstance(label, Tensor) else label
        if isinstance(image, Image.Image):
            return self._decoded(image), label, "pillow"
        if isinstance(image, Tensor):
            image = image.detach().cpu()
            exact = image.float() if image.is_floating_point() and image.element_size() == PAIR else image
            found, kind = exact.numpy(), "tensor"
        elif isinstance(image, np.ndarray):
            found, kind = image, "array"
        else:
            raise InputError(f"{self.what} gives {type(image).__name__} where the image should be: {MEND}.")
        if found.ndim not in (2, 3):
            raise InputError(f"{self.what} gives shape {found.shape} where the image should be: {MEND}.")
        return found, label, kind

    def _decoded(self, image: Image.Image) -> NDArray[np.uint8]:
        """Return Pillow's image as bytes (H, W, 1 or 3), grey ones with one channel."""
        grey = image.mode in GREY
        try:
            pixels = np.asarray(as_rgb(image, upright=False))
        except InputError as error:
            raise InputError(f"{self.what}: an image {error}") from error
        except OSError as error:
            raise InputError(f"{self.what}: an image cannot be read ({error}): restore it or take it out.") from error
        return pixels[..., :1] if grey else pixels


def _count(labels: Any) -> int:
    """Return the number of a batch's labels; 0 if they are one number."""
    if isinstance(labels, list | tuple):
        return len(labels)
    return len(labels) if getattr(labels, "ndim", 0) else 0
