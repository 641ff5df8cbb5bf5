"""The run of a reproduction: registered and derived defenses, their verdicts, and the folders to write to."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from robench.data import find_dataset
from robench.evaluation import corruptions
from robench.evaluation.corruptions import Generated, RotatedTranslated
from robench.evaluation.progress import Quiet
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate
from robench.report.paper import VerdictSource
from robench.report.publish import publish_corrupted, publish_records
from robench.specs import Card, find_attack, find_card
from robench.store import Store
from robench.store.log import Epoch
from robench.training.variants import variant

Say = Callable[[str], None]


@dataclass
class ReproductionRun:
    """A run that trains missing defenses, evaluates defenses and publishes their records; what is stored is reused.

    Attributes:
        dataset: the dataset whose defenses are reproduced.
        results: the results folder.
        trained: the folder of derived defenses.
        device: the device for training and evaluation.
        data_dir: the folder of downloaded datasets, if it is not the default.
        say: a function that is called with each message on the progress.
    """

    dataset: str
    results: Path
    trained: Path
    device: torch.device
    data_dir: Path | None = None
    say: Say = field(default=lambda text: None)

    @property
    def source(self) -> VerdictSource:
        """The verdicts that are published now."""
        return VerdictSource(self.dataset, self.results, published=True)

    def card(self, name: str) -> Card:
        """Return the card of a registered defense of the dataset, with weights.

        Raises:
            InputError: the defense has no weights; the message says how to make them.
        """
        card = find_card(f"{self.dataset}/{name}")
        card.require_weights()
        return card

    def derived(self, base: str, name: str, changes: Mapping[str, Any]) -> Card:
        """Return the card of a recipe with changes, trained once; if `name` is `base`, the registered card."""
        if base == name:
            return self.card(base)
        card = find_card(f"{self.dataset}/{base}")

        def heard(epoch: Epoch) -> None:
            if epoch.epoch % 10 == 0:
                self.say(f"{name}: epoch {epoch.epoch} of {card.require_recipe().epochs}, loss {epoch.loss:.3f}")

        return variant(card, self.trained / self.dataset / name, changes, self.device, heard)

    def evaluate(self, card: Card, attacks: Sequence[str], substitutes: Sequence[Card] = ()) -> None:
        """Evaluate a defense under the dataset's usual threat model, and publish; stored verdicts are read."""
        data = find_dataset(self.dataset)
        request = EvaluationRequest(
            NetworkUnderTest.of_card(card),
            data.load("test", self.data_dir),
            data.usual,
            tuple(find_attack(name) for name in attacks),
            Settings(device=str(self.device)),
            tuple(NetworkUnderTest.of_card(substitute) for substitute in substitutes),
        )
        outcome = evaluate(request, Store(self.results), Quiet())
        registered = card.name == f"{self.dataset}/{card.folder.name}"
        records = [result.record for result in outcome.results]
        publish_records(self.results, records, "" if registered else card.folder.name)
        self.say(f"{card.name}: {', '.join(attacks)}")

    def corrupted(self, card: Card) -> None:
        """Evaluate a defense on generated corruptions and rotations, and publish; stored verdicts are read."""
        split = find_dataset(self.dataset).load("test", self.data_dir)
        settings = Settings(device=str(self.device))
        for source in (Generated(split), RotatedTranslated()):
            corruptions.evaluate(NetworkUnderTest.of_card(card), split, source, settings, self.results)
        publish_corrupted(self.results, [card.name])
        self.say(f"{card.name}: corruptions")
