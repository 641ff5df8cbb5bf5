"""Networks as the command line names them. Never imports torch."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from robench.specs.card import CARD, Head, Input
from robench.specs.robustbench import PREFIX as ROBUSTBENCH
from robench.specs.settings import Rejects

Kind = Literal["card", "function", "library", "checkpoint", "exported", "onnx", "robustbench"]
"""Source of a network: a card, a function in a Python file, a library, a file of weights that is recognised (or a
TorchScript program, which has the same endings), a program of torch.export, an ONNX file, RobustBench's model zoo."""
MARK = ".py:"
"""Text between file and function in `file.py:make_model`."""
LIBRARIES = ("timm", "torchvision")
"""Names of libraries, before the colon in `timm:NAME`."""
HUBS = ("hf-hub:", "hf_hub:")
"""Prefixes of names on the Hugging Face Hub, in `timm:hf-hub:ORG/NAME`."""
SUFFIXES = (".pt", ".pth", ".tar", ".ckpt", ".bin", ".t7", ".safetensors")
"""Suffixes of files of weights."""
EXPORTED = ".pt2"
"""Ending of files of `torch.export.save`."""
ONNX = "onnx:"
"""Prefix of `onnx:FILE`."""


@dataclass(frozen=True)
class NetworkSpec:
    """A network without a card, or a card with other weights.

    Attributes:
        name: `file.py:make_model`, `timm:NAME`, `timm:hf-hub:ORG/NAME`, `torchvision:NAME`, a file of weights that is
            recognised by its keys, a program of torch.export (`.pt2`), `onnx:FILE`, `robustbench:NAME`, or the name
            of a card.
        weights: a file; none where the name brings them.
        input: by which the network expects images to be normalised; None for what the name brings.
        head: the last layer of a recognised network; None for what its weights tell.
        feature_layer: the submodule that gives the penultimate features; None where it is to be found.
        variant: which of several functions with the same checkpoint; None where there is only one.
        key: under which the weights stand in their file; None where that is clear.
        single_logit: whether the network has one output for two classes.
        rejects: way in which the network rejects an input; None if it cannot.
        title: the user's name for the network in records and tables; None for one made from `name`.
    """

    name: str
    weights: Path | None = None
    input: Input | None = None
    head: Head | None = None
    feature_layer: str | None = None
    variant: str | None = None
    key: str | None = None
    single_logit: bool = False
    title: str | None = None
    rejects: Rejects | None = None

    @property
    def kind(self) -> Kind:
        """The source of the network, told from its name."""
        if MARK in self.name:
            return "function"
        if self.name.partition(":")[0] in LIBRARIES and ":" in self.name:
            return "library"
        if self.name.startswith(ONNX):
            return "onnx"
        if self.name.startswith(ROBUSTBENCH):
            return "robustbench"
        if self.name.lower().endswith(EXPORTED):
            return "exported"
        return "checkpoint" if self.name.lower().endswith(SUFFIXES) else "card"

    @property
    def plain(self) -> bool:
        """True if the network is a card without any change."""
        said = (self.weights, self.input, self.head, self.feature_layer, self.variant, self.key, self.rejects)
        return self.kind == "card" and not self.single_logit and all(each is None for each in said)

    @property
    def file(self) -> Path | None:
        """The file or folder that the name points to; None if the name is that of a registered card or of a library."""
        if self.kind == "function":
            return Path(f"{self.name.rpartition(MARK)[0]}.py")
        if self.kind == "onnx":
            return Path(self.name.removeprefix(ONNX))
        if self.kind in ("checkpoint", "exported"):
            return Path(self.name)
        there = self.kind == "card" and (self.name.endswith(".toml") or (Path(self.name) / CARD).is_file())
        return Path(self.name) if there else None

    def absolute(self) -> "NetworkSpec":
        """Return the same network with absolute paths, so that it is found from any working directory."""
        weights = None if self.weights is None else self.weights.absolute()
        if self.file is None:
            return replace(self, weights=weights)
        name = str(self.file.absolute())
        if self.kind == "function":
            name = f"{name}:{self.name.rpartition(MARK)[2]}"
        elif self.kind == "onnx":
            name = f"{ONNX}{name}"
        return replace(self, name=name, weights=weights)

    @property
    def label(self) -> str:
        """A short name that can be part of a file's name: the user's, or one made from `name`."""
        if self.title is not None:
            return self.title
        if self.kind == "function":
            file, _, function = self.name.rpartition(MARK)
            return f"{Path(file).name}-{function}"
        if self.kind == "library":
            name = self.name.partition(":")[2]
            for hub in HUBS:
                name = name.removeprefix(hub)
            return name.replace("/", "-")
        if self.kind == "robustbench":
            return self.name.removeprefix(ROBUSTBENCH).rpartition("/")[2]
        name = self.name.strip("/").split("/")[-1] if self.kind == "card" else Path(self.name.removeprefix(ONNX)).name
        for suffix in (*SUFFIXES, EXPORTED, ".onnx"):
            name = name.removesuffix(suffix)
        return name.replace(" ", "-")
