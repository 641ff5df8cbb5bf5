"""Choose the constants of the cascade on training examples, never on test ones.

Every variant attacks the first 600 training examples of five defenses at eps = 0.25, where about a third of
them withstands AutoAttack (at the defenses' own eps = 0.2 nearly all training examples do). Ends in
results/tuning/cascade.csv: survivors, and forwards for each correctly classified example, over all defenses
and seeds. Finished variants are not computed again.

    python tools/choose_cascade.py
"""

import csv
from pathlib import Path

import torch

import robench
from robench.data import find_dataset
from robench.specs import AttackSpec, find_attack

DEFENSES = ("pgdat", "pgdat_he", "trades_he", "fastat", "freeat_mhe")
EXAMPLES, EPS, SEEDS = 600, "0.25", (0, 1)
OUT = Path("results/tuning/cascade.csv")
COLUMNS = ["variant", "survivors", "forwards per example"]
FIRST_GUESS: dict[str, object] = {"discount": 0.2, "hope": 0.6, "fade": 6.0, "steps": 249}
"""Where the trials began; everything else as declared."""
VARIANTS: dict[str, dict[str, object]] = {
    "first guess": {},
    "opening 5": {"opening": 5},
    "survey 5": {"survey": 5},
    "survey 10": {"survey": 10},
    "deep 12, 15 waves": {"deep": 12, "steps": 253},
    "deep 24, 7 waves": {"deep": 24, "steps": 241},
    "2 lanes, 22 waves": {"lanes": 2, "steps": 425},
    "rate 1": {"rate": 1.0},
    "rate 3": {"rate": 3.0},
    "best rate 1": {"best_rate": 1.0},
    "no discount": {"discount": 0.0},
    "discount 0.5": {"discount": 0.5},
    "nobody given up, 4 waves": {"hope": 1e9, "steps": 137},
    "hope 0.4": {"hope": 0.4},
    "hope 0.8": {"hope": 0.8},
    "fade 3": {"fade": 3.0},
    "fade 12": {"fade": 12.0},
    "16 waves": {"steps": 329},
    "hope 0.8, fade 12, 16 waves": {"hope": 0.8, "fade": 12.0, "steps": 329},
    "discount 1": {"discount": 1.0},
    "discount 0.5, survey 5": {"discount": 0.5, "survey": 5, "steps": 231},
    "discount 0.5, best rate 1": {"discount": 0.5, "best_rate": 1.0},
    "chosen: discount 0.5, hope 0.8, fade 9, 14 waves": {"discount": 0.5, "hope": 0.8, "fade": 9.0, "steps": 297},
    "discount 1, hope 0.8, fade 9, 14 waves": {"discount": 1.0, "hope": 0.8, "fade": 9.0, "steps": 297},
    "discount 0.5, survey 5, best rate 1, hope 0.8, fade 9, 14 waves": {
        "discount": 0.5,
        "survey": 5,
        "best_rate": 1.0,
        "hope": 0.8,
        "fade": 9.0,
        "steps": 279,
    },
}


def variant(changes: dict[str, object]) -> AttackSpec:
    """The first guess with changes to its parameters or its steps."""
    params = FIRST_GUESS | changes
    steps = params.pop("steps")
    return find_attack("cascade").model_copy(update={"params": params, "steps": steps})


def trial(spec: AttackSpec) -> tuple[int, float]:
    """Survivors over all defenses and seeds, and forwards for each correctly classified example."""
    split = find_dataset("digits").load("train")
    x, y = split.x[:EXAMPLES], split.y[:EXAMPLES]
    survivors = forwards = attacked = 0
    for name in DEFENSES:
        model = robench.load_model(name)
        for seed in SEEDS:
            (result,) = robench.evaluate(model, x, y, attacks=[spec], eps=EPS, seed=seed).results
            survivors += int(result.record.robust.sum())
            attacked += int(result.record.clean.sum())
            forwards += result.forwards
    return survivors, forwards / attacked


def main() -> None:
    """Run what is missing."""
    torch.set_num_threads(1)
    done = {row["variant"] for row in csv.DictReader(OUT.open())} if OUT.is_file() else set()
    with OUT.open("a", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if not done:
            writer.writerow(COLUMNS)
        for name, changes in VARIANTS.items():
            if name not in done:
                survivors, forwards = trial(variant(changes))
                writer.writerow([name, survivors, f"{forwards:.1f}"])
                stream.flush()
                print(f"{name}: {survivors} survive, {forwards:.1f} forwards")


if __name__ == "__main__":
    main()
