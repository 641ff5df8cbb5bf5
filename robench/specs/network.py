"""Networks as the command line names them. Never imports torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from robench.specs.card import Head, Input

Kind = Literal["card", "function", "library", "checkpoint"]
"""Source of a network: a card, a function in a Python file, a library, or a file of weights that is recognised."""
MARK = ".py:"
"""Text between file and function in `file.py:make_model`."""
LIBRARIES = ("timm", "torchvision")
"""Names of libraries, before the colon in `timm:NAME`."""
SUFFIXES = (".pt", ".pth", ".tar", ".ckpt", ".bin", ".t7", ".safetensors")
"""Suffixes of files of weights."""


@dataclass(frozen=True)
class NetworkSpec:
    """A network without a card, or a card with other weights.

    Attributes:
        name: `file.py:make_model`, `timm:NAME`, `torchvision:NAME`, a file of weights that is recognised by its keys,
            or the name of a card.
        weights: file of the weights; None if the name already stands for weights.
        input: normalisation that the network expects; None for the default of the name.
        head: the last layer of a recognised network; None to tell it from the weights.
        feature_layer: the submodule that returns the penultimate features; None to find it.
        variant: name of the function, if several fit the same checkpoint; None if only one does.
        key: key of the weights in their file; None if the file leaves no choice.
    """

    name: str
    weights: Path | None = None
    input: Input | None = None
    head: Head | None = None
    feature_layer: str | None = None
    variant: str | None = None
    key: str | None = None

    @property
    def kind(self) -> Kind:
        """The source of the network, told from its name."""
        if MARK in self.name:
            return "function"
        if self.name.partition(":")[0] in LIBRARIES and ":" in self.name:
            return "library"
        return "checkpoint" if self.name.lower().endswith(SUFFIXES) else "card"

    @property
    def plain(self) -> bool:
        """True if the network is a card without any change."""
        said = (self.weights, self.input, self.head, self.feature_layer, self.variant, self.key)
        return self.kind == "card" and all(each is None for each in said)

    @property
    def label(self) -> str:
        """A short name that can be part of a file's name."""
        if self.kind == "function":
            file, _, function = self.name.rpartition(MARK)
            return f"{Path(file).name}-{function}"
        if self.kind == "library":
            return self.name.partition(":")[2].replace("/", "-")
        name = Path(self.name).name if self.kind == "checkpoint" else self.name.strip("/").split("/")[-1]
        for suffix in SUFFIXES:
            name = name.removesuffix(suffix)
        return name.replace(" ", "-")
