"""Result of every source of networks: a network, and its description in the terms of a card."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from robench.specs import Architecture, Head, Input, Normalisation, digest, file_sha256
from robench.specs.settings import Rejects


@dataclass(frozen=True)
class FunctionResult:
    """A network that a function of a Python file made, and the code that it depends on.

    Attributes:
        network: the network.
        folder: the folder of the file.
        sources: the file, and the files below its folder that were imported for it, sorted.
    """

    network: nn.Module
    folder: Path
    sources: tuple[Path, ...]

    @property
    def sha256(self) -> str:
        """Digest of the names and contents of the sources."""
        return digest({path.relative_to(self.folder).as_posix(): file_sha256(path) for path in self.sources})


@dataclass(frozen=True)
class Loaded:
    """A network, ready to be evaluated, in the terms of a card.

    Attributes:
        network: maps images in [0, 1] to logits; in evaluation mode, weights loaded, normalisation applied.
        architecture: name and arguments.
        head: the last layer.
        input: the normalisation that the network applies to images in [0, 1].
        input_source: source of the normalisation: "of the card", "of the checkpoint", "of timm", "as said", ...
        feature_layer: the submodule that gives the penultimate features; None if robench looks for it.
        code: what made the network if robench did not: a digest of the user's code, or a library with its version.
        remark: settings that the user left open and that robench chose; empty if nothing was left open.
        function: the user's function that made the network, if one did.
        published: name of a dataset and the clean accuracy on it in percent, as published for the network, if known.
        single_logit: whether the network inside has one output for two classes.
        rejects: way in which the network inside rejects an input; None if it cannot.
    """

    network: nn.Module
    architecture: Architecture
    head: Head
    input: Input
    input_source: str = ""
    feature_layer: str | None = None
    code: str = ""
    remark: str = ""
    function: FunctionResult | None = None
    published: tuple[str, float] | None = None
    single_logit: bool = False
    rejects: Rejects | None = None

    @property
    def normalisation(self) -> Normalisation:
        """The normalisation with its source."""
        return Normalisation.of(self.input, self.input_source)
