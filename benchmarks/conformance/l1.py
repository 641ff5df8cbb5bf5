"""l1: our APGD, FAB and Square against the published AutoAttack's, and `fast` against AutoAttack, side by side.

    python -m benchmarks.conformance.l1 [--model pgdat ...] [--seeds 0 1 2] [--out results/benchmarks/l1.md]

The parts run on training examples, on which the constants were chosen; `fast` and AutoAttack on test examples. APGD is
compared from the published start (`normal_start`) and with the published numbers of restarts; the default, which begins
at points that are uniform in the ball, stands below it. The bars: means over seeds and defenses within 0.6 points
of the published code's; `fast` no higher than AutoAttack at a tenth of its passes. Records are kept in --results, so
an interrupted run goes on.
"""

import argparse
import os
from pathlib import Path
from statistics import mean

import torch

from benchmarks.conformance.native_against_reference import spread
from benchmarks.fast_against_autoattack import Side
from robench.data import dataset_of
from robench.data.split import Split
from robench.devices import device_name
from robench.evaluation.progress import Quiet
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate
from robench.paths import write_text
from robench.report import Table, markdown
from robench.specs import AttackSpec, ThreatModel, battery_attacks, find_attack, find_card
from robench.store import Record, Store

RESTARTS = 5
"""Restarts of APGD and target classes of targeted APGD in AutoAttack's standard version for l1."""
BAR = 0.6
PAIRS = {
    "apgd-ce-normal": "reference-apgd-ce",
    "apgd-t-normal": "reference-apgd-t",
    "fab-t": "reference-fab-t",
    "apgd-ce-5": "reference-apgd-ce",
    "apgd-t-5": "reference-apgd-t",
}
BARRED = ("apgd-ce-normal", "apgd-t-normal", "fab-t")


def native(name: str) -> AttackSpec:
    """One of our attacks of `PAIRS`."""
    if name == "fab-t":
        return find_attack(name)
    base, start = name.rsplit("-", 1)
    spec = find_attack(base)
    params = {**spec.params, "normal_start": True} if start == "normal" else spec.params
    return spec.model_copy(update={"name": name, "restarts": RESTARTS, "params": params})


def records(
    model: str, split: Split, threat: ThreatModel, attacks: list[AttackSpec], seed: int, store: Store
) -> list[Record]:
    """The records of some attacks."""
    under_test = NetworkUnderTest.of_card(find_card(model))
    request = EvaluationRequest(under_test, split, threat, tuple(attacks), Settings(seed))
    return [each.record for each in evaluate(request, store, Quiet()).results]


def parts(models: list[str], seeds: list[int], n: int, threat: ThreatModel, store: Store) -> Table:
    """Robust accuracies of the parts on training examples."""
    table = Table(f"Parts of AutoAttack in {threat}, {n} training examples", "defense, attack",
                  ["ours", "published", "apart"])  # fmt: skip
    names = dict.fromkeys([*PAIRS, *PAIRS.values()])
    attacks = [native(name) if name in PAIRS else find_attack(name) for name in names]
    gaps: dict[str, list[float]] = {name: [] for name in PAIRS}
    for model in models:
        split = dataset_of(find_card(model)).load("train").limit(n)
        found = [
            {
                each.header.attack.name: each.robust_accuracy
                for each in records(model, split, threat, attacks, seed, store)
            }
            for seed in seeds
        ]
        for ours, theirs in PAIRS.items():
            mine, other = ([each[name] for each in found] for name in (ours, theirs))
            gaps[ours].append(mean(mine) - mean(other))
            table.add(f"{model}, {ours}", {
                "ours": spread(mine), "published": spread(other), "apart": f"{gaps[ours][-1]:+.2f}",
            })  # fmt: skip
    for name, apart in gaps.items():
        missed = "missed, ours is lower" if mean(apart) < 0 else "missed"
        barred = f"; bar {BAR}: {'met' if abs(mean(apart)) <= BAR else missed}" if name in BARRED else ""
        table.notes.append(f"{name}: {mean(apart):+.2f} points in the mean of the defenses{barred}.")
    return table


def whole(models: list[str], n: int, threat: ThreatModel, store: Store) -> Table:
    """`fast` against AutoAttack on test examples."""
    table = Table(f"`fast` against AutoAttack in {threat}, {n} test examples", "defense", [
        "AutoAttack", "fast", "difference", "AutoAttack passes", "fast passes", "passes ratio",
    ])  # fmt: skip
    for model in models:
        split = dataset_of(find_card(model)).load("test").limit(n)
        theirs, ours = (
            Side.of(records(model, split, threat, battery_attacks(battery), 0, store))
            for battery in ("autoattack", "fast")
        )
        table.add(model, {
            "AutoAttack": f"{theirs.accuracy:.2f}",
            "fast": f"{ours.accuracy:.2f}",
            "difference": f"{ours.accuracy - theirs.accuracy:+.2f}",
            "AutoAttack passes": f"{theirs.passes:,.0f}",
            "fast passes": f"{ours.passes:,.0f}",
            "passes ratio": f"{theirs.passes / ours.passes:.1f}",
        })  # fmt: skip
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=["pgdat", "pgdat_he", "trades_he"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--eps", default="1")
    parser.add_argument("--limit", type=int, default=100, help="examples of each part of the data")
    parser.add_argument("--results", type=Path, default=Path("results/benchmarks/raw/l1"))
    parser.add_argument("--out", type=Path, help="a Markdown file instead of the terminal")
    options = parser.parse_args()
    torch.set_num_threads(1)
    store, threat = Store(options.results), ThreatModel.parse("l1", options.eps)
    tables = [
        whole(options.model, options.limit, threat, store),
        parts(options.model, options.seeds, options.limit, threat, store),
    ]
    tables[-1].notes.append(
        f"Robust accuracy (%), mean over seeds {', '.join(map(str, options.seeds))} (each seed). "
        f"{device_name(torch.device('cpu'))}, {os.cpu_count()} shared cores, torch {torch.__version__}, one thread."
    )
    text = "\n".join(map(markdown, tables))
    write_text(options.out, text) if options.out else print(text)
