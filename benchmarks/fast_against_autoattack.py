"""The battery `fast` against the published AutoAttack: robust accuracy, passes and time, in turns, A B A B ...

    python -m benchmarks.fast_against_autoattack [--model pgdat ...] [--seeds 0 1 2] [--results DIR]
    python -m benchmarks.fast_against_autoattack --published       reads the committed records, and runs nothing

Records are kept in --results, so an interrupted run goes on and a finished one only prints its table again.
The bars: at most AutoAttack's robust accuracy in the mean of the seeds; at most one example of digits above the worst
of all published attacks and seeds; at most 1/20 of its passes, forwards and backwards; at most 1/12 of its time
(published records come from separate runs: only times of the first form are measured in turns). One thread.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch

from robench.data import dataset_of
from robench.devices import device_name
from robench.evaluation.progress import Quiet
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate
from robench.paths import data_root
from robench.report import Table, markdown
from robench.specs import battery_attacks, find_card, list_models
from robench.store import Record, Store, read_file

BATTERIES = ("autoattack", "fast")
COLUMNS = [
    "AutoAttack", "fast", "difference", "worst of all", "fast above it", "AutoAttack passes", "fast passes",
    "passes ratio",
]  # fmt: skip
TIME = "time ratio (range)"


@dataclass(frozen=True)
class Side:
    """What one battery found with one seed, and what it cost.

    Attributes:
        robust: examples that no attack broke, bool (N,).
        accuracy: these in percent of all.
        passes: forwards and backwards for each correctly classified example.
        seconds: of the attacks.
    """

    robust: np.ndarray
    accuracy: float
    passes: float
    seconds: float

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Side":
        """Of the records of a battery's attacks."""
        robust = np.logical_and.reduce([record.robust for record in records])
        passes = sum(record.header.forwards + record.header.backwards for record in records)
        seconds = sum(record.header.seconds for record in records)
        return cls(robust, 100 * float(robust.mean()), passes / int(records[0].clean.sum()), seconds)


def run(name: str, seed: int, store: Store) -> list[Side]:
    """One side of each battery; what is missing is computed, one after the other."""
    card = find_card(name)
    data = dataset_of(card)
    under_test, split, settings = NetworkUnderTest.of_card(card), data.load("test"), Settings(seed)
    requests = [
        EvaluationRequest(under_test, split, data.usual, tuple(battery_attacks(battery)), settings)
        for battery in BATTERIES
    ]
    return [Side.of([each.record for each in evaluate(request, store, Quiet()).results]) for request in requests]


def published(name: str) -> list[Record]:
    """The committed records of a defense under its usual threat model."""
    card = find_card(name)
    usual = dataset_of(card).usual
    records = read_file(data_root() / "results" / f"{card.name}.jsonl")
    return [each for each in records if each.header.threat == usual and not each.header.target]


def read(records: Sequence[Record], seed: int) -> list[Side]:
    """One side of each battery, from published records; none if an attack has no record."""
    found = {each.header.attack.name: each for each in records if each.header.seed == seed}
    needed = [[spec.name for spec in battery_attacks(battery)] for battery in BATTERIES]
    if not all(name in found for names in needed for name in names):
        return []
    return [Side.of([found[name] for name in names]) for names in needed]


def row(runs: list[list[Side]], others: Sequence[Record]) -> dict[str, str]:
    """The cells of one defense: means over seeds, with the standard deviation of the accuracies."""
    sides = list(zip(*runs, strict=True))
    accuracy = [[each.accuracy for each in side] for side in sides]
    passes = [mean(each.passes for each in side) for side in sides]
    times = [slow.seconds / quick.seconds for slow, quick in runs]
    spread = [f" +- {stdev(side):.2f}" if len(side) > 1 else "" for side in accuracy]
    theirs, ours = map(mean, accuracy)
    worst = 100 * float(np.logical_and.reduce([each.robust for each in others]).mean())
    return {
        "AutoAttack": f"{theirs:.2f}{spread[0]}",
        "fast": f"{ours:.2f}{spread[1]}",
        "difference": f"{ours - theirs:+.2f}",
        "worst of all": f"{worst:.2f}",
        "fast above it": f"{ours - worst:+.2f}",
        "AutoAttack passes": f"{passes[0]:,.0f}",
        "fast passes": f"{passes[1]:,.0f}",
        "passes ratio": f"{passes[0] / passes[1]:.1f}",
        TIME: f"{mean(times):.1f} ({min(times):.1f}-{max(times):.1f})",
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="digits' adversarially trained defenses by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=Path("results/benchmarks/raw"))
    parser.add_argument("--published", action="store_true", help="read the committed records")
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = options.model or [name for name in list_models() if name.startswith("digits/") and "standard" not in name]
    columns = COLUMNS if options.published else [*COLUMNS, TIME]  # separate runs tell nothing about time
    table = Table("`fast` against the published AutoAttack", "defense", columns)
    for name in models:
        card = find_card(name)
        others = published(name)
        sides = [
            read(others, seed) if options.published else run(name, seed, Store(options.results))
            for seed in options.seeds
        ]
        table.add(card.name, row([each for each in sides if each], others))
    table.notes.append(
        f"Robust accuracy in percent, mean of seeds {', '.join(map(str, options.seeds))}; passes, forwards and "
        f"backwards, for each correctly classified example; {device_name(torch.device('cpu'))}, one thread."
    )
    print(markdown(table))


if __name__ == "__main__":
    main()
