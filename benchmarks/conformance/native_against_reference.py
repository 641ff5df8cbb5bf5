"""Our APGD, FAB and Square against the published AutoAttack's parts: robust accuracies over seeds, side by side.

    python -m benchmarks.conformance.native_against_reference [--model pgdat ...] [--seeds 0 1 2] [--out FILE]

Both run behind the same oracle and judge. Records are kept in --results, so an interrupted run goes on. The bar: means
over the seeds at most 0.6 points apart. Square is compared as the published code places its windows (`square-inner`);
the default, which reaches every pixel as the paper says, stands below it. Three cards take 40 minutes on one core.
"""

import argparse
from pathlib import Path
from statistics import mean

import torch

from robench.data import dataset_of
from robench.devices import device_name
from robench.evaluation.progress import Quiet
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate
from robench.paths import write_text
from robench.report import Table, markdown
from robench.specs import find_attack, find_card
from robench.store import Store

PAIRS = {
    "apgd-ce": "reference-apgd-ce",
    "apgd-t": "reference-apgd-t",
    "fab-t": "reference-fab-t",
    "square-inner": "reference-square",
    "square": "reference-square",
}
BAR = 0.6
BARRED = [name for name in PAIRS if name != "square"]


def accuracies(model: str, seed: int, store: Store) -> dict[str, float]:
    """Robust accuracy in percent under every attack of `PAIRS`."""
    card = find_card(model)
    data = dataset_of(card)
    attacks = tuple(find_attack(name) for name in dict.fromkeys([*PAIRS, *PAIRS.values()]))
    request = EvaluationRequest(NetworkUnderTest.of_card(card), data.load("test"), data.usual, attacks, Settings(seed))
    outcome = evaluate(request, store, Quiet())
    return {result.record.header.attack.name: result.record.robust_accuracy for result in outcome.results}


def comparison(models: list[str], seeds: list[int], store: Store) -> Table:
    table = Table(
        "Native attacks against the published AutoAttack's", "defense, attack", ["ours", "published", "apart"]
    )
    worst = 0.0
    for model in models:
        found = [accuracies(model, seed, store) for seed in seeds]
        for ours, theirs in PAIRS.items():
            mine, other = ([each[name] for each in found] for name in (ours, theirs))
            apart = mean(mine) - mean(other)
            worst = max(worst, abs(apart)) if ours in BARRED else worst
            table.add(f"{model}, {ours}", {"ours": spread(mine), "published": spread(other), "apart": f"{apart:+.2f}"})
    verdict = "met" if worst <= BAR else "missed"
    table.notes += [
        f"Robust accuracy (%), mean over seeds {', '.join(map(str, seeds))} (each seed). Largest distance without "
        f"`square`: {worst:.2f} points; bar {BAR}: {verdict}.",
        f"{device_name(torch.device('cpu'))}, torch {torch.__version__}, one thread.",
    ]
    return table


def spread(values: list[float]) -> str:
    """The mean, and each."""
    return f"{mean(values):.2f} ({', '.join(f'{value:.1f}' for value in values)})"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["pgdat", "pgdat_he", "trades_he"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=Path("results/benchmarks/raw/reference"))
    parser.add_argument("--out", type=Path, help="a Markdown file instead of the terminal")
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = markdown(comparison(options.model, options.seeds, Store(options.results)))
    write_text(options.out, text) if options.out else print(text)
