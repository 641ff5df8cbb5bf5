"""Choose the constants of the cascade's runs in l2 (robench/algorithms/detour.py) on training examples.

Every variant attacks training examples with two seeds: of digits at eps 0.75 and 1.0, which leave about a sixth and a
hundredth of them robust, and of cifar10-jpeg at 0.5. Ends in results/tuning/detour.csv: for each task the survivors, in
the mean of the seeds, those of both seeds together, and the passes for each correctly classified example. Finished
variants are not computed again. `before` is the cascade without runs from outside the ball.

    python -m tools.choose_detour [--data-dir DIR]
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

import robench
from robench.algorithms import detour
from robench.data import find_dataset
from robench.specs import find_attack

OUT, SEEDS = Path("results/tuning/detour.csv"), (0, 1)


class Trial(NamedTuple):
    """One network of a task, eps, and the training examples."""

    task: str
    model: torch.nn.Module
    eps: str
    x: Tensor
    y: Tensor


VARIANTS: dict[str, dict[str, Any]] = {
    "chosen": {},
    "hops count five times": {"HOPS": 5},
    "before": {"NORMS": ()},
    "3 steps": {"STEPS": 3},
    "6 steps": {"STEPS": 6},
    "reach 3": {"REACH": 3.0},
    "reach 8": {"REACH": 8.0},
    "rate 1": {"RATE": 1.0},
    "3 classes": {"CLASSES": 3},
    "9 classes": {"CLASSES": 9},
}


def trials(data_dir: Path | None) -> Iterator[Trial]:
    """Yield the networks and examples of all tasks."""
    digits = find_dataset("digits").load("train")
    for eps in ("0.75", "1.0"):
        for name in ("pgdat", "trades", "pgdat_he"):
            yield Trial(f"digits {eps}", robench.load_model(name), eps, digits.x[:200], digits.y[:200])
    jpeg = find_dataset("cifar10-jpeg").load("train", data_dir)
    chosen = torch.randperm(len(jpeg), generator=torch.Generator().manual_seed(0))[:60]
    for name in ("pgdat", "trades"):
        yield Trial(
            "cifar10-jpeg 0.5", robench.load_model(f"cifar10-jpeg/{name}"), "0.5", jpeg.x[chosen], jpeg.y[chosen]
        )


def measured(tasks: list[Trial]) -> dict[str, float]:
    """Return survivors, those of both seeds together, and passes of each task."""
    found: dict[str, list[float]] = {}
    spec = find_attack("cascade")
    for task, model, eps, x, y in tasks:
        results = [
            robench.evaluate(model.eval(), x, y, attacks=[spec], norm="l2", eps=eps, seed=seed).results[0]
            for seed in SEEDS
        ]
        robust = np.array([each.record.robust for each in results])
        passes = sum(each.forwards + each.backwards for each in results) / len(results)
        numbers = [robust.sum() / len(SEEDS), robust.all(0).sum(), passes, results[0].record.clean.sum()]
        found[task] = [a + b for a, b in zip(found.get(task, [0] * 4), map(float, numbers), strict=True)]
    named = ("survivors", "together", "passes")
    return {
        f"{task} {name}": round(value / clean if name == "passes" else value, 1)
        for task, (*values, clean) in found.items()
        for name, value in zip(named, values, strict=True)
    }


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of cifar10-jpeg")
    tasks = list(trials(parser.parse_args().data_dir))
    torch.set_num_threads(1)
    done = {row["variant"] for row in csv.DictReader(OUT.open())} if OUT.is_file() else set()
    for name, changes in VARIANTS.items():
        if name in done:
            continue
        with patch.multiple(detour, **{"REACH": detour.REACH, **changes}):
            row = {"variant": name, **measured(tasks)}
        with OUT.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, list(row), lineterminator="\n")
            if stream.tell() == 0:
                writer.writeheader()
            writer.writerow(row)
        print(row, flush=True)


if __name__ == "__main__":
    main()
