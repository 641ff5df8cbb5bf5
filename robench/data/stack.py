"""One array of many images that arrive one by one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from robench.data.arrays import CHANNELS, checked
from robench.data.elements import Example
from robench.data.pixels import Pixels
from robench.data.split import Split
from robench.errors import InputError

FEWEST = 64
"""Number of images for which there is room at first."""
DIMS = 4


class Stack:
    """Images and labels of equal shapes; room for them is doubled when it is used up.

    Args:
        what: name of the dataset or loader, for messages.
        expected: number of images, as far as it is known.
    """

    def __init__(self, what: str, expected: int | None) -> None:
        self.what, self.room = what, expected or FEWEST
        self.labels: list[Any] = []
        self.kind = ""
        self.extra = 0
        self.coloured = False
        self._x: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def add(self, example: Example) -> None:
        """Append an example; grey images of Pillow among coloured ones get three channels.

        Raises:
            InputError: its size or type differs from the first one's.
        """
        image = example.image
        if self._x is None:
            self._x = np.empty((self.room, *image.shape), image.dtype)
            self.kind = example.kind
        if example.kind == self.kind == "pillow" and image.shape[2] != self._x.shape[3]:
            self.coloured = True
            image = np.repeat(image, 3, 2) if image.shape[2] == 1 else image
            self._x = np.repeat(self._x, 3, 3) if self._x.shape[3] == 1 else self._x
        if image.shape != self._x.shape[1:]:
            raise InputError(
                f"{self.what}: image {len(self)} is {_size(image.shape)}, image 0 {_size(self._x.shape[1:])}: give all "
                "images one size, e.g. with Resize and CenterCrop."
            )
        if image.dtype != self._x.dtype:
            raise InputError(
                f"{self.what}: image {len(self)} is {image.dtype}, image 0 {self._x.dtype}: give all images one type."
            )
        if len(self) == len(self._x):
            self._x = np.concatenate([self._x, np.empty_like(self._x)])
        self._x[len(self)] = image
        self.labels.append(example.label)
        self.extra = max(self.extra, example.extra)

    def same(self, place: int, example: Example) -> bool:
        """Return whether an example equals the one that was added at a place."""
        assert self._x is not None
        image = example.image
        if example.kind == self.kind == "pillow" and image.shape[2] < self._x.shape[3]:
            image = np.repeat(image, 3, 2)
        return np.array_equal(image, self._x[place]) and np.array_equal(example.label, self.labels[place])

    def split(self, name: str, ids: Any) -> Split:
        """Return the checked examples; bytes stay bytes.

        Raises:
            InputError: there are none, the labels differ in shape, or the examples do not pass `Split.checked`.
        """
        if self._x is None:
            raise InputError(f"{self.what} has no examples: give at least one.")
        shapes = {np.shape(label) for label in self.labels}
        if len(shapes) > 1:
            raise InputError(f"{self.what}: labels have the shapes {sorted(shapes)}: give one class number per image.")
        x, y = self._x[: len(self)], np.asarray(self.labels)
        if self.kind == "tensor" and x.ndim == DIMS and x.shape[1] in CHANNELS:  # as torch keeps images
            if x.dtype == np.uint8:
                return Split.checked(name, Pixels(np.ascontiguousarray(x.transpose(0, 2, 3, 1))), y, ids)
            return Split.checked(name, x, y, ids)
        return checked(name, x, y, ids)


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
