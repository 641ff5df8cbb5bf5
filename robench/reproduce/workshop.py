"""What every reproduction needs: defenses, registered or derived, verdicts, published numbers, a place to write."""

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from robench import corrupted
from robench.corrupted import Generated
from robench.data import find_dataset
from robench.paths import data_root, write_text
from robench.progress import Quiet
from robench.report import Evaluation, Table, csv_text, markdown
from robench.request import Settings, Subject
from robench.run import evaluate
from robench.specs import Card, find_attack, find_card
from robench.store import Store
from robench.store.corrupted import Corrupted
from robench.training.checkpoint import Epoch, read_log
from robench.training.variants import variant

Say = Callable[[str], None]


@dataclass
class Product:
    """What a reproduction makes.

    Attributes:
        name: of its files.
        table: the numbers, ours beside the published.
        draw: writes the picture to a path whose suffix names the format, if there is one.
    """

    name: str
    table: Table
    draw: Callable[[Path], None] | None = None


@dataclass
class Workshop:
    """Trains or reuses what is missing, evaluates, and writes.

    Attributes:
        dataset: whose defenses are reproduced.
        results: where records are kept and tables are written.
        trained: where derived defenses are kept.
        device: to train and evaluate on.
        data_dir: where downloaded datasets lie.
        say: hears what happens.
    """

    dataset: str
    results: Path
    trained: Path
    device: torch.device
    data_dir: Path | None = None
    say: Say = field(default=lambda text: None)

    def card(self, name: str) -> Card:
        """A registered defense of the dataset that has weights.

        Raises:
            InputError: it has none; says how to make them.
        """
        card = find_card(f"{self.dataset}/{name}")
        card.require_weights()
        return card

    def derived(self, base: str, name: str, changes: Mapping[str, Any]) -> Card:
        """A registered recipe with changes, trained once."""
        card = find_card(f"{self.dataset}/{base}")

        def heard(epoch: Epoch) -> None:
            if epoch.epoch % 10 == 0:
                self.say(f"{name}: epoch {epoch.epoch} of {card.recipe.epochs}, loss {epoch.loss:.3f}")

        return variant(card, self.trained / self.dataset / name, changes, self.device, heard)

    def evaluate(self, card: Card, attacks: Sequence[str], substitutes: Sequence[Card] = ()) -> Evaluation:
        """Verdicts under the dataset's usual threat model, read where they are stored."""
        data = find_dataset(self.dataset)
        outcome = evaluate(
            Subject.of_card(card),
            data.load("test", self.data_dir),
            [find_attack(name) for name in attacks],
            data.threat,
            Settings(device=str(self.device)),
            Store(self.results),
            Quiet(),
            [Subject.of_card(substitute) for substitute in substitutes],
        )
        self.say(f"{card.name}: {', '.join(attacks)}")
        return Evaluation.of(outcome)

    def corrupted(self, card: Card) -> list[Corrupted]:
        """Verdicts on generated corruptions, read where they are stored."""
        split = find_dataset(self.dataset).load("test", self.data_dir)
        settings = Settings(device=str(self.device))
        lines = corrupted.evaluate(Subject.of_card(card), split, Generated(split), settings, self.results)
        self.say(f"{card.name}: corruptions")
        return lines

    def setting(self) -> str:
        """What our column was measured on, for the tables' notes."""
        data = find_dataset(self.dataset)
        return f"Ours: {self.dataset}, {find_card(f'{self.dataset}/pgdat').architecture.name}, {data.threat}."

    def write(self, products: Iterable[Product]) -> list[Path]:
        """Markdown and CSV under tables/, PNG and SVG under figures/."""
        written = []
        for product in products:
            stem = self.results / "tables" / self.dataset / product.name
            for suffix, text in ((".md", markdown(product.table)), (".csv", csv_text(product.table))):
                write_text(stem.with_suffix(suffix), text)
                written.append(stem.with_suffix(suffix))
            if product.draw:
                for suffix in (".png", ".svg"):
                    path = self.results / "figures" / self.dataset / f"{product.name}{suffix}"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    product.draw(path)
                    written.append(path)
        return written


PAPER = "Paper: cifar10, WRN-34-10, linf 0.031 with step 0.003, trained at 8/255."
"""What the published columns were measured on, unless a table says otherwise."""


def published(table: str) -> list[dict[str, str]]:
    """The rows of one of the paper's tables (results/paper/*.csv)."""
    with (data_root() / "results" / "paper" / f"{table}.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def training_seconds(card: Card) -> float:
    """What the training log says, without the looks at held-out examples."""
    return sum(epoch.seconds for epoch in read_log(card.folder / "log.csv"))
