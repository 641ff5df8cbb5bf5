"""Try recipes on a part of the training split, and rank them; test examples are never touched.

    python tools/choose_recipe.py --model pgdat_he --vary recipe.lr=0.05,0.1 --vary head.scale=10.0,15.0

Each candidate of the grid is trained without 251 held-out training examples, and judged on these by its
accuracy in the worst case of PGD-50 on the raw, the scaled, the HE-margin and the margin objective. What
was tried is appended to results/tuning/<dataset>.csv.
"""

import argparse
import csv
import itertools
from pathlib import Path
from typing import Any

import tomlkit
import torch

import robench
from robench.classifiers import load_card
from robench.data import dataset_of
from robench.paths import data_root
from robench.specs import AttackSpec, find_attack, find_card
from robench.training.variants import variant

HELD = 251
OBJECTIVES = ("ce", "ce_scaled", "he_margin", "margin")


def attacks() -> list[AttackSpec]:
    """PGD-50 on every objective."""
    base = find_attack("pgd-50")
    return [base.model_copy(update={"name": name, "params": {**base.params, "objective": name}}) for name in OBJECTIVES]


def try_one(model: str, changes: dict[str, Any], out: Path) -> dict[str, Any]:
    """Train a candidate and judge it on the held-out training examples."""
    card = find_card(model)
    name = "-".join([card.name.replace("/", "-"), *(f"{k.rpartition('.')[2]}={v}" for k, v in changes.items())])
    trained = variant(card, out / name, {**changes, "recipe.holdout": HELD}, torch.device("cpu"))
    _, held = dataset_of(card).load("train").stratified(HELD)
    report = robench.evaluate(
        load_card(trained), held.x, held.y, ids=held.ids, attacks=attacks(), norm=card.require_recipe().norm,
        eps=card.require_recipe().eps, device="cpu",
    )  # fmt: skip
    worst = report.worst_case
    return {
        "model": card.name,
        "changes": " ".join(f"{key}={value}" for key, value in changes.items()) or "as declared",
        "held_out": len(held),
        "clean": f"{report['ce'].clean_accuracy:.1f}",
        "raw": f"{report['ce'].robust_accuracy:.1f}",
        "worst_case": f"{worst.robust_accuracy:.1f}",
    }


def main() -> None:
    """Run the grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--vary", action="append", default=[], metavar="KEY=VALUE,VALUE")
    parser.add_argument("--out", type=Path, default=Path("trained/candidates"))
    arguments = parser.parse_args()
    axes = []
    for axis in arguments.vary:
        key, _, values = axis.partition("=")
        axes.append([(key, tomlkit.value(value).unwrap()) for value in values.split(",")])
    log = data_root() / "results" / "tuning" / f"{find_card(arguments.model).dataset}.csv"
    log.parent.mkdir(parents=True, exist_ok=True)
    for point in itertools.product(*axes):
        row = try_one(arguments.model, dict(point), arguments.out)
        print(row, flush=True)
        new = not log.exists()
        with log.open("a", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)


if __name__ == "__main__":
    main()
