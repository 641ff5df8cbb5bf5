"""The battery `fast` in l2, three seeds, beside the published AutoAttack, one seed, on the same examples.

    python -m benchmarks.fast_in_l2 [--model digits/pgdat ...] [--eps 0.5 ...] [--limit 150] [--seeds 0 1 2]
                                    [--data-dir DIR] [--results DIR] [--out results/benchmarks/fast_l2.md]

Records are kept in --results, so an interrupted run goes on and a finished one only prints its table again. One thread.
The bars: seeds within 0.8 points of each other and of what they find together; never above AutoAttack; at most 1/20 of
its passes, forwards and backwards.
"""

import argparse
from itertools import product
from pathlib import Path
from statistics import mean

import numpy as np
import torch

from benchmarks.fast_against_autoattack import Side
from robench.data import dataset_of
from robench.devices import device_name
from robench.evaluation.progress import Quiet
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate
from robench.paths import write_text
from robench.report import Table, markdown
from robench.specs import ThreatModel, battery_attacks, find_card
from robench.store import Store

MODELS = ("digits/pgdat", "digits/trades", "digits/pgdat_he")
COLUMNS = [
    "AutoAttack", "fast, each seed", "largest difference", "all seeds together", "mean above that", "AutoAttack passes",
    "fast passes", "passes ratio",
]  # fmt: skip


def row(slow: Side, quick: list[Side]) -> dict[str, str]:
    """The cells of one defense under one threat model."""
    each = [side.accuracy for side in quick]
    together = 100 * float(np.logical_and.reduce([side.robust for side in quick]).mean())
    passes = mean(side.passes for side in quick)
    return {
        "AutoAttack": f"{slow.accuracy:.2f}",
        "fast, each seed": " / ".join(f"{value:.2f}" for value in each),
        "largest difference": f"{max(each) - min(each):.2f}",
        "all seeds together": f"{together:.2f}",
        "mean above that": f"{mean(each) - together:+.2f}",
        "AutoAttack passes": f"{slow.passes:,.0f}",
        "fast passes": f"{passes:,.0f}",
        "passes ratio": f"{slow.passes / passes:.1f}",
    }


def main() -> None:
    """Print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="three defenses of digits by default")
    parser.add_argument("--eps", nargs="+", default=["0.5", "0.75", "1.0"])
    parser.add_argument("--limit", type=int, default=150, help="test examples, every class in proportion")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="of `fast`; AutoAttack has seed 0")
    parser.add_argument("--data-dir", type=Path, help="folder of datasets that are not embedded")
    parser.add_argument("--results", type=Path, default=Path("results/benchmarks/raw"))
    parser.add_argument("--out", type=Path, help="a file for the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    table, store = Table("`fast` in l2", "defense, eps", COLUMNS), Store(options.results)
    for name, eps in product(options.model or MODELS, options.eps):
        card, threat = find_card(name), ThreatModel.parse("l2", eps)
        split = dataset_of(card).load("test", options.data_dir, options.limit)
        network = NetworkUnderTest.of_card(card)
        sides = [
            Side.of([each.record for each in evaluate(request, store, Quiet()).results])
            for battery, seed in [("autoattack", 0), *(("fast", seed) for seed in options.seeds)]
            for request in [EvaluationRequest(network, split, threat, tuple(battery_attacks(battery)), Settings(seed))]
        ]
        table.add(f"{card.name}, {eps}", row(sides[0], sides[1:]))
    table.notes.append(
        f"Robust accuracy in percent on {options.limit} test examples; passes, forwards and backwards, for each "
        f"correctly classified example; {device_name(torch.device('cpu'))}, one thread."
    )
    text = markdown(table)
    print(text)
    if options.out:
        write_text(options.out, text + "\n")


if __name__ == "__main__":
    main()
