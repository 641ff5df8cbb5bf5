"""How a user's images are read: resized, cropped, with class names."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from robench.data.class_names import labels_by_name
from robench.data.library_transforms import library_transform
from robench.data.sizes import Size, read_size
from robench.errors import InputError

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Reading:
    """How a user's images are read.

    Attributes:
        resize: pixels of the shorter side; or a library's network, whose transform resizes and crops; None leaves the
            size.
        crop: pixels of each side of the central square to take; None takes all.
        classes: class names in the order of the labels, as the user gave them.
        known: class names of the dataset that the network classifies, if they are known.
        upright: turn each image as its EXIF orientation says.

    Raises:
        InputError: a size is below 1 or names no network of a library, or a crop stands beside such a network.
    """

    resize: Size | None = None
    crop: int | None = None
    classes: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    upright: bool = True

    def __post_init__(self) -> None:
        for option, size in (("--resize", self.resize), ("--crop", self.crop)):
            if isinstance(size, int) and size < 1:
                raise InputError(f"{option} {size} must be at least 1.")
        if not isinstance(self.resize, str):
            return
        read_size(self.resize)
        if self.crop is not None:
            raise InputError(f"--resize {self.resize} crops as well, as the network's library does: leave --crop out.")

    @property
    def sized(self) -> bool:
        """True if images are resized or cropped."""
        return self.resize is not None or self.crop is not None

    @property
    def how(self) -> str:
        """Name of `prepare` for the cache and for the user; empty if images stay as they are."""
        if isinstance(self.resize, str):
            return library_transform(self.resize).how
        sizes = (("resize", self.resize), ("crop", self.crop))
        return ", ".join(f"{word} {size}" for word, size in sizes if size is not None)

    def prepare(self, image: "Image.Image") -> "Image.Image":
        """Resize the shorter side (bilinear, antialiased) and crop the centre, as torchvision or the library does.

        Raises:
            InputError: the image is smaller than the crop; the message lacks the file's name.
        """
        if isinstance(self.resize, str):
            return library_transform(self.resize).apply(image)
        from torchvision.transforms import functional

        if self.resize is not None:
            image = functional.resize(image, self.resize)
        if self.crop is None:
            return image
        if min(image.size) < self.crop:
            raise InputError(f"is {image.width}x{image.height}, below --crop {self.crop}: add --resize {self.crop}.")
        cropped: Image.Image = functional.center_crop(image, [self.crop, self.crop])
        return cropped

    def labels(self, found: list[str], where: str) -> list[int] | None:
        """Return the label of each class found, by its name; None if no names are known, or none of them fits.

        Raises:
            InputError: names do not fit.
        """
        if self.classes:
            return labels_by_name(found, self.classes, where, required=True)
        return labels_by_name(found, self.known, where, required=False) if self.known else None


AS_IT_IS = Reading()
"""Images of any size, labels by the order of the classes."""
