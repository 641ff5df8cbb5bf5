"""Choose the constants of the cascade on training examples, never on test ones.

Every variant attacks training examples of four tasks, at an eps that leaves about a third of them robust (a defense's
own eps leaves nearly all of its training examples): digits in linf and in l2, cifar10-jpeg, and pairs of digits, a task
of a hundred classes (benchmarks/pairs.py). Ends in results/tuning/cascade.csv: for each task the survivors and the
passes, forwards and backwards, of all its networks. Finished variants are not computed again. The best constants reach
the fewest survivors for their passes, over the tasks together. The columns of l2 were measured before runs began
outside the ball there; tools/choose_detour.py chooses those constants.

    python -m tools.choose_cascade [--data-dir DIR]
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import robench
from benchmarks import pairs
from robench.data import find_dataset
from robench.specs import AttackSpec, find_attack

OUT, PAIRS = Path("results/tuning/cascade.csv"), Path("results/raw/pairs.safetensors")


class Trial(NamedTuple):
    """One network of a task, the threat model and the training examples."""

    task: str
    model: torch.nn.Module
    norm: str
    eps: str
    x: Tensor
    y: Tensor


VARIANTS: dict[str, dict[str, Any]] = {
    "chosen": {},
    "opening 5": {"opening": 5},
    "survey 5": {"survey": 5},
    "5 targets": {"targets": 5},
    "survey rate 1": {"survey_rate": 1.0},
    "hop 12": {"hop": 12, "fade": 2.7, "fade_l2": 5.4},
    "hop rate 0.5": {"hop_rate": 0.5},
    "hop rate 2": {"hop_rate": 2.0},
    "shake half as much": {"shakes": (0.5, 1.0), "shakes_l2": (1.5, 3.0)},
    "shake twice as much": {"shakes": (2.0, 4.0), "shakes_l2": (6.0, 12.0)},
    "no discount": {"discount": 0.0},
    "discount 1": {"discount": 1.0},
    "fade half as much": {"fade": 2.0, "fade_l2": 4.0},
    "fade twice as much": {"fade": 8.0, "fade_l2": 16.0},
}


def trials(data_dir: Path | None) -> Iterator[Trial]:
    """Yield the networks and examples of all tasks."""
    digits = find_dataset("digits").load("train")
    for name in ("pgdat", "pgdat_he", "trades_he", "fastat", "freeat_mhe"):
        yield Trial("digits", robench.load_model(name), "linf", "0.25", digits.x[:300], digits.y[:300])
    for name in ("pgdat", "trades", "pgdat_he"):
        yield Trial("digits l2", robench.load_model(name), "l2", "0.75", digits.x[:300], digits.y[:300])
    jpeg = find_dataset("cifar10-jpeg").load("train", data_dir)
    chosen = torch.randperm(len(jpeg), generator=torch.Generator().manual_seed(0))[:150]
    x, y = jpeg.x[chosen], jpeg.y[chosen]
    for name in ("pgdat", "pgdat_he", "trades"):
        yield Trial("cifar10-jpeg", robench.load_model(f"cifar10-jpeg/{name}"), "linf", "8/255", x, y)
    yield Trial("pairs", pairs.load(PAIRS), "linf", "0.15", *pairs.pairs("train", 300, 0))


def variant(changes: dict[str, Any]) -> AttackSpec:
    """The declared attack with changes to its parameters."""
    return find_attack("cascade").model_copy(update={"params": changes})


def measured(spec: AttackSpec, tasks: list[Trial]) -> dict[str, int]:
    """Survivors and passes of each task."""
    found: dict[str, int] = {}
    for task, model, norm, eps, x, y in tasks:
        (result,) = robench.evaluate(model.eval(), x, y, attacks=[spec], norm=norm, eps=eps).results
        survivors, passes = int(result.record.robust.sum()), result.forwards + result.backwards
        found[f"{task} survivors"] = found.get(f"{task} survivors", 0) + survivors
        found[f"{task} passes"] = found.get(f"{task} passes", 0) + passes
    return found


def main() -> None:
    """Run what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder of cifar10-jpeg")
    tasks = list(trials(parser.parse_args().data_dir))
    torch.set_num_threads(1)
    names = list(dict.fromkeys(task.task for task in tasks))
    columns = ["variant", *(f"{name} {what}" for name in names for what in ("survivors", "passes"))]
    done = {row["variant"] for row in csv.DictReader(OUT.open())} if OUT.is_file() else set()
    with OUT.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        if not done:
            writer.writeheader()
        for name, changes in VARIANTS.items():
            if name not in done:
                row = {"variant": name, **measured(variant(changes), tasks)}
                writer.writerow(row)
                stream.flush()
                print(row, flush=True)


if __name__ == "__main__":
    main()
