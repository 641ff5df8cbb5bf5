"""Model cards: one file that both rebuilds a defense and retrains it."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from robench.errors import InputError
from robench.paths import data_root
from robench.specs.base import Declared, build, file_sha256, parse_toml, read_bytes
from robench.specs.threat import Norm

CARD = "card.toml"
WEIGHTS = "weights.safetensors"


def dataset_label(dataset: str) -> str:
    """A dataset's name, or for one's own, `npz:FILE` say, the file's or folder's."""
    kind, colon, place = dataset.partition(":")
    if not colon:
        return dataset
    path = Path(place)
    return (path.resolve().name if kind == "folder" else path.stem).replace(" ", "-")


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
    """Normalisation inside the network, one value a channel; attacks see [0, 1]."""

    mean: list[float] = Field(default_factory=lambda: [0.0])
    std: list[Annotated[float, Field(gt=0)]] = Field(default_factory=lambda: [1.0])

    def __str__(self) -> str:
        """Return what is done to images, in words."""
        if self == Input():
            return "not normalised"
        mean, std = (", ".join(f"{each:g}" for each in values) for values in (self.mean, self.std))
        return f"normalised by mean {mean}, std {std}"


class Recipe(Declared):
    """How the weights are made. `eps`, `steps` and `rel_step` describe the perturbations of adversarial training.

    Schedules: `one_cycle` (up to lr over a fifth of the updates, cosine to zero), `cyclic` (linear up over
    two fifths, linear to zero), `step` (lr x0.1 at each of `milestones`), `constant`.
    """

    framework: str
    args: dict[str, Any] = Field(default_factory=dict)
    """Of the framework: TRADES' beta, ALP's alpha and weight, FreeAT's replays."""
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
    """Whether batch norm uses its running statistics while perturbations are made."""
    precision: Literal["fp32", "tf32", "bf16"] = "fp32"
    channels_last: bool = False
    seed: int = 0
    holdout: int = Field(0, ge=0)
    """Training examples kept aside to choose hyper-parameters and to watch; never test examples."""
    keep: Literal["last", "best"] = "last"
    """Which weights the card gets; best means highest held-out robust accuracy, and leaves the last beside them."""
    patience: int = Field(0, ge=0)
    """Stop after so many epochs without a better held-out robust accuracy; 0 never stops."""


class Card(Declared):
    """A registered defense (`models/<dataset>/<name>/card.toml`)."""

    dataset: str
    about: str
    paper_row: str = ""
    """The row of results/paper/*.csv that this defense corresponds to."""
    tried: str = ""
    """What was tried on held-out training examples before the recipe was fixed."""
    architecture: Architecture
    head: Head = Head()
    input: Input = Input()
    feature_layer: str | None = None
    """The submodule that gives the penultimate features, where they are not found."""
    recipe: Recipe | None = None
    """How robench trained it; none where it was trained elsewhere."""
    sha256: str = ""
    """Of the weights file beside the card; empty while there are none."""
    _folder: Path = PrivateAttr(default=Path())

    @property
    def folder(self) -> Path:
        """The folder the card was read from."""
        return self._folder

    @property
    def data(self) -> str:
        """The dataset; the place of one's own is seen from the card's folder."""
        kind, colon, place = self.dataset.partition(":")
        return f"{kind}:{self._folder / place}" if colon else kind

    @property
    def label(self) -> str:
        """The dataset's name, which in the registry is the folder's."""
        return dataset_label(self.data)

    @property
    def name(self) -> str:
        """`<dataset>/<name>`; outside the registry `<dataset>/<name>@<weights>`, so that nothing is mixed up."""
        name = f"{self.label}/{self._folder.name}"
        return name if self._folder.is_relative_to(data_root() / "models") else f"{name}@{self.sha256[:8]}"

    @property
    def where(self) -> str:
        """The file, for messages."""
        return f"card '{self._folder / CARD}'"

    @property
    def weights(self) -> Path:
        """Where the weights lie, or would lie."""
        return self._folder / WEIGHTS

    def require_weights(self) -> None:
        """Be sure there are weights.

        Raises:
            InputError: there are none; says how to make them.
        """
        if not self.weights.is_file():
            raise InputError(f"'{self.name}' has no weights: {self.how_to_train}.")
        if not self.sha256:
            raise InputError(f'{self.where} has no checksum: add sha256 = "{file_sha256(self.weights)}" to it.')

    @property
    def how_to_train(self) -> str:
        """The command that makes the weights, or where they have to come from."""
        if self.recipe is None:
            return f"it was trained elsewhere; put them back as '{self.weights}'"
        name = self.name if "@" not in self.name else str(self._folder / CARD)
        return f"make them with `robench train --model {name} --out {self._folder.parent.parent}`"

    def require_recipe(self) -> Recipe:
        """How to train it.

        Raises:
            InputError: it was trained elsewhere.
        """
        if self.recipe is None:
            raise InputError(f"{self.where} has no [recipe]: it was trained elsewhere; add one to train it here.")
        return self.recipe

    def recipe_identity(self) -> dict[str, Any]:
        """What of the card decides its weights."""
        return {**self.identity(), "weights": "", "recipe": self.require_recipe().model_dump()}

    def identity(self) -> dict[str, Any]:
        """What of the card can change a verdict."""
        return {
            "architecture": self.architecture.model_dump(),
            "head": self.head.model_dump(),
            "input": self.input.model_dump(),
            "weights": self.sha256,
        } | ({} if self.feature_layer is None else {"feature_layer": self.feature_layer})


def read_card(path: Path) -> Card:
    """Read `card.toml`, or the one in a folder.

    Raises:
        InputError: missing or malformed.
    """
    path = path / CARD if path.is_dir() else path
    return parse_card(path, read_bytes(path))


def parse_card(path: Path, content: bytes) -> Card:
    """Parse the content of the `card.toml` at `path`.

    Raises:
        InputError: malformed.
    """
    card = build(Card, parse_toml(path, content), f"card '{path}'")
    card._folder = path.resolve().parent
    if len(card.input.mean) != len(card.input.std):
        raise InputError(f"card '{path}', key 'input.std': expected {len(card.input.mean)} values, one a channel.")
    return card
