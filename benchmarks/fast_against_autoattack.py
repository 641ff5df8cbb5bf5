"""The battery `fast` against the published AutoAttack: robust accuracy, forwards and time, in turns, A B A B ...

    python -m benchmarks.fast_against_autoattack [--model pgdat ...] [--seeds 0 1 2] [--results DIR]

Records are kept in --results, so an interrupted run goes on and a finished one only prints its table again.
The bar: at most AutoAttack's robust accuracy in the mean of the seeds, at least 15 times fewer forwards for each
correctly classified example, at least 10 times less time. One thread.
"""

import argparse
from pathlib import Path
from statistics import mean, stdev

import torch

from robench.data import dataset_of
from robench.devices import device_name
from robench.evaluation.progress import Quiet
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate
from robench.report import Table, markdown
from robench.specs import battery_attacks, find_card, list_models
from robench.store import Header, Record, Store, read_header

BATTERIES = ("autoattack", "fast")
COLUMNS = [
    "AutoAttack", "fast", "difference", "AutoAttack forwards", "fast forwards", "forwards ratio", "time ratio (range)",
]  # fmt: skip


def records(name: str, seed: int, store: Store) -> list[tuple[Record, Header]]:
    """One of each battery; what is missing is computed, one after the other."""
    card = find_card(name)
    data = dataset_of(card)
    under_test, split, settings = NetworkUnderTest.of_card(card), data.load("test"), Settings(seed)
    found = []
    for battery in BATTERIES:
        request = EvaluationRequest(under_test, split, data.usual, tuple(battery_attacks(battery)), settings)
        (result,) = evaluate(request, store, Quiet()).results
        found.append((result.record, read_header(result.record.path)))
    return found


def row(runs: list[list[tuple[Record, Header]]]) -> dict[str, str]:
    """The cells of one defense: means over seeds, with the standard deviation of the accuracies."""
    accuracy = [[record.robust_accuracy for record, _ in side] for side in zip(*runs, strict=True)]
    forwards = [mean(h.forwards / record.clean.sum() for record, h in side) for side in zip(*runs, strict=True)]
    times = [slow.seconds / quick.seconds for (_, slow), (_, quick) in runs]
    spread = [f" +- {stdev(side):.2f}" if len(side) > 1 else "" for side in accuracy]
    theirs, ours = map(mean, accuracy)
    return {
        "AutoAttack": f"{theirs:.2f}{spread[0]}",
        "fast": f"{ours:.2f}{spread[1]}",
        "difference": f"{ours - theirs:+.2f}",
        "AutoAttack forwards": f"{forwards[0]:,.0f}",
        "fast forwards": f"{forwards[1]:,.0f}",
        "forwards ratio": f"{forwards[0] / forwards[1]:.1f}",
        "time ratio (range)": f"{mean(times):.1f} ({min(times):.1f}-{max(times):.1f})",
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="digits' adversarially trained defenses by default")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=Path("results/benchmarks/raw"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = options.model or [name for name in list_models() if name.startswith("digits/") and "standard" not in name]
    table = Table("`fast` against the published AutoAttack", "defense", COLUMNS)
    for name in models:
        card = find_card(name)
        table.add(card.name, row([records(name, seed, Store(options.results)) for seed in options.seeds]))
    table.notes.append(
        f"Robust accuracy in percent, mean of seeds {', '.join(map(str, options.seeds))}; forwards for each correctly "
        f"classified example; {device_name(torch.device('cpu'))}, one thread."
    )
    print(markdown(table))


if __name__ == "__main__":
    main()
