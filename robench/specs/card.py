"""Model cards: one file that both rebuilds a defense and retrains it."""

import re
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from robench.errors import InputError
from robench.paths import data_root
from robench.specs.base import Declared, build, file_sha256, parse_toml, read_bytes
from robench.specs.settings import Rejects
from robench.specs.threat import NORMS, Norm, ThreatModel

CARD = "card.toml"
WEIGHTS = "weights.safetensors"
SHARD = re.compile(r"-\d{5}-of-(?!00001)\d{5}.*")
"""End of the name of one of several shards; the split has the name before it."""


def dataset_label(dataset: str) -> str:
    """Return a dataset's name; for user data such as `npz:FILE`, the name of the file or folder."""
    kind, colon, place = dataset.partition(":")
    if not colon:
        return dataset
    path = Path(place)
    if kind == "folder" or path.is_dir():
        return path.resolve().name.replace(" ", "-")
    return (SHARD.sub("", path.stem) if kind == "parquet" else path.stem).replace(" ", "-")


class Architecture(Declared):
    """A network by name, with the arguments of its constructor."""

    name: str
    args: dict[str, Any] = Field(default_factory=dict)


class Head(Declared):
    """The last layer: `linear` (W^T z + b), or `he`, hypersphere embedding (Pang et al. 2020, Sec. 2.2).

    `scale` and `margin` are the s and m of Eq. (6); they act in objectives, never in the prediction.
    """

    kind: Literal["linear", "he"] = "linear"
    fn: bool = True
    wn: bool = True
    angular: Literal["cos", "arccos"] = "cos"
    scale: float = Field(1.0, gt=0)
    margin: float = Field(0.0, ge=0)


class Input(Declared):
    """Normalisation inside the network, one value per channel; attacks see [0, 1]."""

    mean: list[float] = Field(default_factory=lambda: [0.0])
    std: list[Annotated[float, Field(gt=0)]] = Field(default_factory=lambda: [1.0])

    @classmethod
    def checked(cls, mean: Sequence[float], std: Sequence[float], prefix: str = "") -> "Input":
        """Make a normalisation from a user's numbers, one for each channel or one for all.

        Args:
            mean: means of the channels, in [0, 1].
            std: standard deviations of the channels, above 0.
            prefix: text before "mean" and "std" in messages.

        Raises:
            InputError: different numbers of values, or values that cannot belong to images in [0, 1].
        """
        means, stds = ([float(each) for each in values] for values in (mean, std))
        said = [
            f"{prefix}{name} {','.join(f'{each:g}' for each in values)}"
            for name, values in (("mean", means), ("std", stds))
        ]
        if len(means) != len(stds):
            raise InputError(f"{prefix}mean has {len(means)} values and {prefix}std {len(stds)}: give the same number.")
        if not means or not all(isfinite(each) for each in (*means, *stds)) or min(stds) <= 0:
            raise InputError(f"{' and '.join(said)}: give finite numbers, each std above 0.")
        if max(means) > 1:
            raise InputError(
                f"{said[0]} is above 1, but images lie in [0, 1]: divide {prefix}mean and {prefix}std by 255."
            )
        return cls(mean=means, std=stds)

    def __str__(self) -> str:
        """Describe the normalisation in words."""
        if (self.mean, self.std) == ([0.0], [1.0]):
            return "not normalised"
        mean, std = (", ".join(f"{each:g}" for each in values) for values in (self.mean, self.std))
        return f"normalised by mean {mean}, std {std}"


class Normalisation(Input):
    """Normalisation that an evaluation applied, and where it comes from: "of the card", "of timm", "as said"."""

    source: str

    @classmethod
    def of(cls, given: Input, source: str) -> "Normalisation":
        """Name the source of a normalisation."""
        return cls(mean=given.mean, std=given.std, source=source)

    def __str__(self) -> str:
        """Describe the normalisation and its source in words."""
        return f"images {super().__str__()} ({self.source})"

    @property
    def sentence(self) -> str:
        """The normalisation and its source as a sentence."""
        return f"I{str(self)[1:]}."


class CardReading(Declared):
    """How images of folders and Parquet files are read for a network; `--resize`, `--crop` and `--classes` go first."""

    resize: Annotated[int, Field(ge=1)] | str | None = None
    """Pixels of the shorter side; or a library's network, `timm:NAME`, whose transform is applied."""
    crop: int | None = Field(None, ge=1)
    classes: list[str] = Field(default_factory=list)
    """Class names in the order of the labels."""


class Recipe(Declared):
    """The training of the weights; `eps`, `steps` and `rel_step` describe perturbations in adversarial training.

    Schedules: `one_cycle` (up to lr over a fifth of the updates, cosine to zero), `cyclic` (linear up over
    two fifths, linear to zero), `step` (lr x0.1 at each of `milestones`), `constant`.
    """

    framework: str
    args: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the framework: TRADES' beta, ALP's alpha and weight, FreeAT's replays."""
    epochs: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    lr: float = Field(gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    schedule: Literal["one_cycle", "cyclic", "step", "constant"] = "one_cycle"
    milestones: list[int] = Field(default_factory=list)
    augment: Literal["none", "crop_flip", "resized_crop_flip"] = "none"
    norm: Norm = "linf"
    eps: str = ""
    steps: int = Field(0, ge=0)
    rel_step: str = "1/4"
    perturb_mode: Literal["eval", "train"] = "eval"
    """Mode of batch norm while perturbations are made: `eval` uses its running statistics."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    channels_last: bool = False
    seed: int = 0
    holdout: int = Field(0, ge=0)
    """Number of training examples kept aside to choose hyper-parameters and to watch training; never test examples."""
    keep: Literal["last", "best"] = "last"
    """The weights that the card gets; `best` means highest held-out robust accuracy, and keeps the last as well."""
    patience: int = Field(0, ge=0)
    """Number of epochs without a better held-out robust accuracy after which training stops; 0 never stops."""


class Card(Declared):
    """A registered defense (`models/<dataset>/<name>/card.toml`)."""

    dataset: str
    about: str
    paper_row: str = ""
    """The row of results/paper/*.csv that this defense corresponds to."""
    tried: str = ""
    """Experiments on held-out training examples before the recipe was fixed."""
    architecture: Architecture
    head: Head = Head()
    input: Input = Input()
    feature_layer: str | None = None
    """The submodule that returns the penultimate features, if robench does not find it."""
    clean_accuracy: float | None = Field(None, ge=0, le=100)
    """Clean accuracy on the dataset's test images in percent, as published for these weights."""
    norm: Norm | None = None
    eps: str | None = None
    """Norm and radius of the perturbation under which the defense is evaluated; by default those of the dataset."""
    single_logit: bool = False
    """Whether the network has one output z for two classes, whose logits are (0, z)."""
    rejects: Rejects | None = None
    """Way in which the network rejects an input, if it can: by the last of K+1 logits, or a score beside K logits."""
    reading: CardReading | None = None
    """How the user's images are read; no part of the network's identity, for other pixels are other data."""
    recipe: Recipe | None = None
    """The training by robench; None if the defense was trained elsewhere."""
    sha256: str = ""
    """SHA-256 of the weights file beside the card; empty if there is none."""
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """The folder the card was read from."""
        return self._folder

    @property
    def data(self) -> str:
        """The dataset; paths of user data are relative to the card's folder."""
        kind, colon, place = self.dataset.partition(":")
        return f"{kind}:{self._folder / place}" if colon else kind

    @property
    def label(self) -> str:
        """The dataset's name; in the registry it is the name of the folder."""
        return dataset_label(self.data)

    @property
    def name(self) -> str:
        """The name `<dataset>/<name>`; outside the registry `<dataset>/<name>@<weights>`, so that names differ."""
        name = f"{self.label}/{self._folder.name}"
        return name if self._folder.is_relative_to(data_root() / "models") else f"{name}@{self.sha256[:8]}"

    @property
    def threat(self) -> ThreatModel | None:
        """The threat model that the card declares, if it declares one.

        Raises:
            InputError: the card has a norm without an eps, or an eps that is none.
        """
        if self.eps is None:
            if self.norm is not None:
                raise InputError(f"{self.where}, key 'norm': add eps, its radius, e.g. eps = \"8/255\".")
            return None
        try:
            return ThreatModel.parse(self.norm or NORMS[0], self.eps)
        except InputError as error:
            raise InputError(f"{self.where}, key 'eps': {error}") from error

    @property
    def where(self) -> str:
        """The file, for messages."""
        return f"card '{self._folder / CARD}'"

    @property
    def weights(self) -> Path:
        """The path of the weights, which may not exist yet."""
        return self._folder / WEIGHTS

    def require_weights(self) -> None:
        """Check that the weights exist.

        Raises:
            InputError: there are no weights, or the card has no checksum.
        """
        if not self.weights.is_file():
            raise InputError(f"'{self.name}' has no weights: {self.how_to_train}.")
        if not self.sha256:
            raise InputError(f'{self.where} has no checksum: add sha256 = "{file_sha256(self.weights)}" to it.')

    @property
    def how_to_train(self) -> str:
        """The command that makes the weights, or the place to put them."""
        if self.recipe is None:
            return f"it was trained elsewhere; put them back as '{self.weights}', or name others with --weights FILE"
        name = self.name if "@" not in self.name else str(self._folder / CARD)
        return f"make them with `robench train --model {name} --out {self._folder.parent.parent}`"

    def how_to_accept(self, sha256: str) -> str:
        """Return the way to make the weights with this checksum, which lie beside the card, the card's."""
        if self.recipe is not None or "@" not in self.name:
            return f'put sha256 = "{sha256}" into the card'
        return f"run `robench card init --model {self._folder} --weights {self.weights} --force`"

    def require_recipe(self) -> Recipe:
        """Return the recipe.

        Raises:
            InputError: the defense was trained elsewhere.
        """
        if self.recipe is None:
            raise InputError(f"{self.where} has no [recipe]: it was trained elsewhere; add one to train it here.")
        return self.recipe

    def recipe_identity(self) -> dict[str, Any]:
        """Return everything in the card that decides the weights."""
        return {**self.identity(), "weights": "", "recipe": self.require_recipe().model_dump()}

    def identity(self) -> dict[str, Any]:
        """Return everything in the card that can change a verdict."""
        identity = {
            "architecture": self.architecture.model_dump(),
            "head": self.head.model_dump(),
            "input": self.input.model_dump(),
            "weights": self.sha256,
        }
        identity |= {} if self.feature_layer is None else {"feature_layer": self.feature_layer}
        identity |= {} if self.rejects is None else {"rejects": self.rejects}
        return identity | ({"single_logit": True} if self.single_logit else {})


def read_card(path: Path) -> Card:
    """Read a card, by its path or its folder.

    Raises:
        InputError: the card is missing or malformed.
    """
    path = path / CARD if path.is_dir() else path
    return parse_card(path, read_bytes(path))


def parse_card(path: Path, content: bytes) -> Card:
    """Parse the content of the `card.toml` at `path`.

    Raises:
        InputError: the card is malformed.
    """
    card = build(Card, parse_toml(path, content), f"card '{path}'")
    card._folder = path.resolve().parent
    if len(card.input.mean) != len(card.input.std):
        raise InputError(f"card '{path}', key 'input.std': expected {len(card.input.mean)} values, one per channel.")
    return card
