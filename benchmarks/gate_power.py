"""How often `robench check` fails without a reason, and how often it catches a planted drop, on real re-seeded runs.

    python -m benchmarks.gate_power [--seeds 20] [--repeats 200] [--retrained 3] [--results DIR] [--trained DIR]

The six main defenses are attacked by the quick battery with every seed; what two seeds of one defense disagree on is
the noise of a re-seeded run. A repeat draws two seeds for each defense and holds one run against the other, all cells
together. A planted drop turns examples, drawn at random among those that withstand every attack, to broken: under all
of them, or under pgd-20 alone, which the worst case then shares. Records are kept in --results, so an interrupted run
goes on. One thread.
"""

import argparse
from collections.abc import Callable
from itertools import permutations
from math import ceil
from pathlib import Path
from statistics import mean

import numpy as np
import torch

from robench.check import REGRESSION, WORST, Cell, compare, rule
from robench.data import dataset_of
from robench.devices import device_name
from robench.evaluation.progress import Quiet
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate
from robench.numerics.stats import wilson
from robench.report import Table, markdown
from robench.reproduce import ReproductionRun
from robench.specs import Card, battery_attacks, find_card
from robench.store import Record, Store

MODELS = ("pgdat", "pgdat_he", "alp", "alp_he", "trades", "trades_he")
DROPS = (1.0, 2.0, 2.5, 3.0, 5.0)
MAX_DROP, ALPHA = 1.0, 0.05
Runs = dict[str, list[list[Record]]]
"""By defense one run a seed, each a record an attack."""
Pick = Callable[[int], tuple[int, int]]
"""From the number of runs to the two that are held against each other."""


def run(card: Card, seed: int, store: Store) -> list[Record]:
    """The quick battery on one defense."""
    data = dataset_of(card)
    attacks = tuple(battery_attacks("quick"))
    request = EvaluationRequest(NetworkUnderTest.of_card(card), data.load("test"), data.usual, attacks, Settings(seed))
    outcome = evaluate(request, store, Quiet())
    return [result.record for result in outcome.results]


def planted(records: list[Record], points: float, attack: str, draw: np.random.Generator) -> list[Record]:
    """The run with so many points lost under one attack, or under all where none is named."""
    count = ceil(points * len(records[0].clean) / 100)
    standing = np.flatnonzero(np.logical_and.reduce([record.robust for record in records]))
    places = draw.choice(standing, count, replace=False)
    broken = []
    for record in records:
        robust = record.robust.copy()
        robust[places] &= bool(attack) and record.header.attack.name != attack
        broken.append(Record(record.header, record.clean, robust, np.where(robust, record.step, 0)))
    return broken


def caught(runs: Runs, pick: Pick, points: float, attack: str, draw: np.random.Generator) -> bool:
    """Whether the gate fails; a drop is planted in one defense, drawn at random."""
    cells: list[Cell] = []
    frozen = str(draw.choice(list(runs))) if points else ""
    for name, mine in runs.items():
        before, now = (mine[place] for place in pick(len(mine)))
        cells += compare(name, before, planted(now, points, attack, draw) if name == frozen else now)
    failed = {ruling.cell.model for ruling in rule(cells, MAX_DROP, ALPHA) if ruling.verdict == REGRESSION}
    return frozen in failed if points else bool(failed)


def share(hits: int, of: int) -> str:
    """A share in percent with its 95% interval."""
    low, high = wilson(hits, of)
    return f"{100 * hits / of:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def power(runs: Runs, trained: Runs, repeats: int) -> Table:
    """One row a situation, one column a drop; 0 points are false alarms."""
    draw = np.random.default_rng(0)

    def other(count: int) -> tuple[int, int]:
        first, second = draw.choice(count, 2, replace=False)
        return int(first), int(second)

    def same(count: int) -> tuple[int, int]:
        place = int(draw.integers(count))
        return place, place

    def alone() -> Runs:
        name = str(draw.choice(list(runs)))
        return {name: runs[name]}

    situations: dict[str, tuple[Callable[[], Runs], Pick, str]] = {
        "six defenses, same seed": (lambda: runs, same, ""),
        "six defenses, another seed": (lambda: runs, other, ""),
        "six defenses, another seed, pgd-20 alone": (lambda: runs, other, "pgd-20"),
        "one defense, same seed": (alone, same, ""),
        "one defense, another seed": (alone, other, ""),
        "one defense, another seed, pgd-20 alone": (alone, other, "pgd-20"),
    }
    if trained:
        situations["one defense, trained again"] = (lambda: trained, other, "")
    table = Table(f"Gates that failed (%), {repeats} repeats each", "gate", [f"{p:g} points" for p in (0.0, *DROPS)])
    for name, (chosen, pick, attack) in situations.items():
        hits = {p: sum(caught(chosen(), pick, p, attack, draw) for _ in range(repeats)) for p in (0.0, *DROPS)}
        table.add(name, {f"{p:g} points": share(count, repeats) for p, count in hits.items()})
    return table


def noise(runs: Runs) -> Table:
    """How many verdicts another seed turns, each way, and gates over single defenses, every pair of seeds."""
    attacks = [spec.name for spec in battery_attacks("quick")]
    table = Table(
        "Examples of 540 that another seed turns", "defense", [*attacks, WORST, "largest drop", "false alarms"]
    )
    for name, mine in runs.items():
        gates = [compare(name, before, now) for before, now in permutations(mine, 2)]
        turned = {
            cell: mean(len(c.lost) + len(c.gained) for gate in gates for c in gate if c.name == cell)
            for cell in (*attacks, WORST)
        }
        failed = sum(any(r.verdict == REGRESSION for r in rule(gate, MAX_DROP, ALPHA)) for gate in gates)
        row = {cell: f"{count:.1f}" for cell, count in turned.items()}
        row["largest drop"] = f"{-min(c.difference for gate in gates for c in gate):.2f} points"
        table.add(name, row | {"false alarms": f"{failed} of {len(gates)}"})
    return table


def trained_again(count: int, store: Store, trained: Path) -> Runs:
    """PGD-AT with several training seeds: other networks, not noise of the gate."""
    made = ReproductionRun("digits", store.results, trained, torch.device("cpu"), None, print)
    cards = [made.card("pgdat")]
    cards += [made.derived("pgdat", f"pgdat-seed{seed}", {"recipe.seed": seed}) for seed in range(1, count)]
    return {"pgdat": [run(card, 0, store) for card in cards]}


def retrained(runs: list[list[Record]]) -> Table:
    """Every two of the networks against each other."""
    columns = [WORST, "lost", "gained", "pgd-20", "gate"]
    table = Table("`pgdat` trained again with another training seed, against each other", "training seeds", columns)
    for first, second in permutations(range(len(runs)), 2):
        rulings = rule(compare("pgdat", runs[first], runs[second]), MAX_DROP, ALPHA)
        cells = {ruling.cell.name: ruling.cell for ruling in rulings}
        table.add(
            f"{first} to {second}",
            {
                WORST: f"{cells[WORST].difference:+.2f}",
                "lost": str(len(cells[WORST].lost)),
                "gained": str(len(cells[WORST].gained)),
                "pgd-20": f"{cells['pgd-20'].difference:+.2f}",
                "gate": "failed" if any(ruling.verdict == REGRESSION for ruling in rulings) else "passed",
            },
        )
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--retrained", type=int, default=3, help="training seeds; 0 leaves that table out")
    parser.add_argument("--results", type=Path, default=Path("results/benchmarks/raw"))
    parser.add_argument("--trained", type=Path, default=Path("trained"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    store = Store(options.results)
    runs = {name: [run(find_card(name), seed, store) for seed in range(options.seeds)] for name in MODELS}
    again = trained_again(options.retrained, store, options.trained) if options.retrained else {}
    tables = [power(runs, again, options.repeats), noise(runs), *(retrained(mine) for mine in again.values())]
    print("\n".join(markdown(table) for table in tables))
    print(
        f"{len(runs)} defenses, seeds 0 to {options.seeds - 1}, 540 examples; --max-drop {MAX_DROP:g}, "
        f"--alpha {ALPHA:g}; {device_name(torch.device('cpu'))}, one thread."
    )


if __name__ == "__main__":
    main()
