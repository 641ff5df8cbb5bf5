"""The description of a mask: which values of an image an attack may change."""

from typing import Literal

from robench.specs.base import Declared


class MaskSummary(Declared):
    """A mask in a few words, as records and tables show it.

    Attributes:
        sha256: of the mask in hex; per-example masks are hashed with the ids of their examples.
        unit: `pixels` if a pixel may change in all channels or in none, else `values`.
        least, most: smallest and largest number of pixels, or values, of an example that may change.
        of: number of pixels, or values, of an image.
    """

    sha256: str
    unit: Literal["pixels", "values"]
    least: int
    most: int
    of: int

    def __str__(self) -> str:
        count = str(self.most) if self.least == self.most else f"{self.least} to {self.most}"
        return f"{self.unit} that may change: {count} of {self.of}"
