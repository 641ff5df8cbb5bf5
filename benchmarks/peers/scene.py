"""Networks and examples as files, from which every process loads the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from robench.classifiers import load_card
from robench.classifiers.classifier import assemble
from robench.classifiers.sources.fitting import save_weights
from robench.data import dataset_of, find_dataset
from robench.data.split import Split
from robench.errors import InputError
from robench.paths import write_text
from robench.specs import Card, find_card
from robench.specs.card import CARD

RANDOM = "wrn-34-10"
"""WRN-34-10, for its size alone: its weights are random, its labels its own answers."""
RANDOM_CARD = """dataset = "{dataset}"
about = "random weights"
sha256 = "{sha256}"

[architecture]
name = "wide_resnet"
args = {{ depth = 34, widen_factor = 10 }}
"""
CIFAR = ("cifar10", "cifar10-jpeg")
"""Whose test images the network with random weights is shown, the first that is there."""


@dataclass(frozen=True)
class Scene:
    """A network and the test examples that samples are drawn from.

    Attributes:
        random: whether the weights are random.
    """

    name: str
    card: Card
    split: Split
    random: bool = False

    @classmethod
    def of(cls, name: str, folder: Path, data_dir: Path | None) -> "Scene":
        """A defense by name, or `RANDOM`, whose files are made in `folder`.

        Raises:
            InputError: there is no such network, or its data is not there.
        """
        if name == RANDOM:
            split = _first_there(CIFAR, data_dir)
            return cls(name, _random(folder / name, split.name), split, random=True)
        card = find_card(name)
        return cls(card.name, card, dataset_of(card).load("test", data_dir))

    def sample(self, n: int, folder: Path) -> Path:
        """An archive of n examples, every class in proportion, or of all if there are fewer."""
        part, path = self.split.sample(min(n, len(self.split)), 0), folder / f"{n}.npz"
        x, y = part.images(part.ids.numpy()), part.y
        if self.random:
            with torch.no_grad():
                y = load_card(self.card)(torch.from_numpy(x)).argmax(1)
        np.savez(path, x=x, y=y.numpy(), ids=part.ids.numpy())
        return path


def _first_there(names: Sequence[str], data_dir: Path | None) -> Split:
    said = []
    for name in names:
        try:
            return find_dataset(name).load("test", data_dir)
        except InputError as error:
            said.append(str(error))
    raise InputError(" ".join(said))


def _random(folder: Path, dataset: str) -> Card:
    """The card of a network with weights drawn under seed 0."""
    write_text(folder / CARD, RANDOM_CARD.format(dataset=dataset, sha256=""))
    card = find_card(str(folder))
    torch.manual_seed(0)
    model = assemble(card.architecture, card.head, card.input, *dataset_of(card).sizes, card.where)
    write_text(folder / CARD, RANDOM_CARD.format(dataset=dataset, sha256=save_weights(model.eval(), card.weights)))
    return find_card(str(folder))
