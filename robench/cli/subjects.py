"""The defenses that `robench check` takes: from options, cards and the baseline, without importing torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from robench.check.baseline import Baseline
from robench.check.subject import OtherWeights, Subject
from robench.cli.options import reading_of
from robench.cli.selecting import card_data, select_threat
from robench.cli.target import read_target
from robench.data.card_reading import with_library
from robench.data.reading import Reading
from robench.errors import InputError
from robench.specs import NetworkSpec, find_card


@dataclass(frozen=True)
class SubjectOptions:
    """Options on the command line that say what is checked, as a user gave them."""

    dataset: str | None = None
    resize: str | None = None
    crop: int | None = None
    classes: Path | None = None
    norm: str | None = None
    eps: str | None = None
    limit: int | None = None
    target: str | None = None
    weights: Path | None = None
    key: str | None = None

    def subjects(self, models: Sequence[str], held: Baseline) -> list[Subject]:
        """Find each defense; norm, eps and number of examples that nobody names are the baseline's.

        Raises:
            InputError: no such card, weights, data or threat model, or options that contradict each other.
        """
        if self.key is not None and self.weights is None:
            raise InputError(f"--key {self.key} is for a checkpoint: add --weights FILE.")
        if self.weights is not None and len(models) != 1:
            raise InputError(f"--weights {self.weights} is for one card: name it alone with --model.")
        reading = reading_of(self.resize, self.crop, self.classes)
        return [self._subject(name, reading, held) for name in models]

    def words(self) -> list[str]:
        """Return the options that `robench eval` needs as well for the same examples and target."""
        said = {
            "--dataset": self.dataset, "--resize": self.resize, "--crop": self.crop, "--classes": self.classes,
            "--target": self.target,
        }  # fmt: skip
        return [word for option, value in said.items() if value is not None for word in (option, str(value))]

    def _subject(self, name: str, reading: Reading, held: Baseline) -> Subject:
        if NetworkSpec(name).kind != "card":
            raise InputError(
                f"--model {name} has no card, and the gate takes cards: write one with `robench card init --model "
                f"{name} --dataset DATA`, and name its folder (programs, such as ONNX, cannot have one)."
            )
        card = find_card(name)
        if self.weights is None:
            card.require_weights()
        data = card_data(self.dataset, card, with_library(reading, NetworkSpec(name), card))
        lent = held.lent(card.name, data.name, self.norm, self.eps)
        usual = card.threat or data.threat
        if usual is not None and self.norm not in (None, usual.norm):
            usual = None  # an eps of another norm says nothing
        return Subject(
            card,
            data,
            select_threat(data, self.norm, self.eps, usual or lent.threat),
            lent.limit if self.limit is None else self.limit,
            None if self.weights is None else OtherWeights(self.weights, self.key),
            lent=usual is None and self.eps is None,
            target=None if self.target is None else read_target(self.target, data),
        )
