"""What Ray's workers bring: one process of one thread, one worker, two workers, in turns.

    OMP_NUM_THREADS=1 python -m benchmarks.ray_workers [--rounds 5] [--model pgdat_he] [--attack pgd-500 ...]
                                                             [--data-dir DIR] [--limit N]

Timed is a whole evaluation from the clean pass to the record, Ray being up and its workers warm; the start is timed
apart. Verdicts are compared example by example. The bar: two workers on two cores at least 1.7 times as fast as one.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from robench.data import dataset_of
from robench.devices import device_name
from robench.engine.executors.base import Executor
from robench.engine.executors.local import Local
from robench.engine.executors.ray import Ray
from robench.evaluation.progress import Quiet
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate
from robench.report import Table, markdown
from robench.specs import find_attack, find_card
from robench.store import Store

WAYS: dict[str, Callable[[], Executor]] = {
    "one process, one thread": lambda: Local("cpu"),
    "Ray, one worker": lambda: Ray("cpu", workers=1),
    "Ray, two workers": lambda: Ray("cpu", workers=2),
}


def verdicts(
    executor: Executor, model: str, attacks: list[str], limit: int | None, data_dir: Path | None
) -> list[list[bool]]:
    """Of one evaluation, on a card's own data, into a folder that is thrown away."""
    card = find_card(model)
    data = dataset_of(card)
    split, specs = data.load("test", data_dir), tuple(find_attack(name) for name in attacks)
    split = split if limit is None else split.limit(limit)
    with tempfile.TemporaryDirectory() as folder:
        store, settings = Store(Path(folder)), Settings(device="cpu")
        request = EvaluationRequest(NetworkUnderTest.of_card(card), split, data.usual, specs, settings)
        outcome = evaluate(request, store, Quiet(), executor)
    return [result.record.robust.tolist() for result in outcome.results]


def seconds(way: str, options: argparse.Namespace) -> tuple[float, float, list[list[bool]]]:
    """Of the start with a warm-up, and of the evaluation; and its verdicts."""
    executor, begin = WAYS[way](), time.perf_counter()
    try:
        verdicts(executor, options.model, ["fgsm"], 128, options.data_dir)
        warm = time.perf_counter()
        found = verdicts(executor, options.model, options.attack, options.limit, options.data_dir)
        return warm - begin, time.perf_counter() - warm, found
    finally:
        executor.close()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="pgdat_he")
    parser.add_argument("--attack", nargs="+", default=["pgd-500", "square"])
    parser.add_argument("--limit", type=int, help="so many of the test examples; all by default")
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    taken: dict[str, list[tuple[float, float]]] = {way: [] for way in WAYS}
    seen = set()
    for _ in range(options.rounds):
        for way in WAYS:
            start, whole, found = seconds(way, options)
            taken[way].append((start, whole))
            seen.add(str(found))
    if len(seen) > 1:
        raise SystemExit("the verdicts differ")
    base = statistics.median(whole for _, whole in taken["Ray, one worker"])
    table = Table(
        f"{options.model} under {', '.join(options.attack)}",
        "where",
        ["median s", "range s", "start s", "times one worker"],
    )
    for way, pairs in taken.items():
        starts, wholes = zip(*pairs, strict=True)
        middle = statistics.median(wholes)
        table.add(
            way,
            {
                "median s": f"{middle:.1f}",
                "range s": f"{min(wholes):.1f} to {max(wholes):.1f}",
                "start s": f"{statistics.median(starts):.1f}",
                "times one worker": f"{base / middle:.2f}",
            },
        )
    table.notes.append(
        f"{options.rounds} rounds in turns, {device_name(torch.device('cpu'))} each; all verdicts equal."
    )
    print(markdown(table))


if __name__ == "__main__":
    main()
