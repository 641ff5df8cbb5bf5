"""Choose the constants of the black-box control on training examples, never on test ones.

Every variant attacks the first 250 training examples of four defenses at eps 0.25 (see choose_cascade.py), and of the
network without a defense. The control should find many of the latter, as behind misleading gradients, and take about
40 passes for each correctly classified example of a defense. Ends in results/tuning/control.csv; finished variants are
not computed again.

    python tools/choose_control.py
"""

import csv
from pathlib import Path

import torch

import robench
from robench.data import find_dataset
from robench.specs import find_attack

DEFENSES = ("pgdat", "pgdat_he", "trades_he", "fastat")
UNDEFENDED = "standard"
EXAMPLES, EPS, STEPS = 250, "0.25", 300
OUT = Path("results/tuning/control.csv")
COLUMNS = ["variant", "passes per example (most of the defenses)", "found of the defenses (%)", "found of standard (%)"]
VARIANTS = [(8, 0.5, 100.0), (8, 0.6, 50.0), (15, 0.3, 200.0), (15, 0.5, 50.0), (25, 0.3, 100.0), (25, 0.4, 50.0)]
"""Values of `first`, `hope` and `fade`; the last was chosen."""


def trial(network: str, params: dict[str, object]) -> tuple[float, float]:
    """Passes for each correctly classified example, and the share of these examples that is broken."""
    split = find_dataset("digits").load("train")
    spec = find_attack("control").model_copy(update={"params": params, "steps": STEPS})
    x, y = split.x[:EXAMPLES], split.y[:EXAMPLES]
    (result,) = robench.evaluate(robench.load_model(network), x, y, attacks=[spec], eps=EPS).results
    correct = int(result.record.clean.sum())
    return result.forwards / correct, 1 - int(result.record.robust.sum()) / correct


def main() -> None:
    """Run what is missing."""
    torch.set_num_threads(1)
    done = {row["variant"] for row in csv.DictReader(OUT.open())} if OUT.is_file() else set()
    with OUT.open("a", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        if not done:
            writer.writerow(COLUMNS)
        for first, hope, fade in VARIANTS:
            name = f"first {first}, hope {hope:g}, fade {fade:g}"
            if name in done:
                continue
            params: dict[str, object] = {"first": first, "hope": hope, "fade": fade}
            found = [trial(network, params) for network in (*DEFENSES, UNDEFENDED)]
            passes = max(each for each, _ in found[:-1])
            shares = 100 * sum(share for _, share in found[:-1]) / len(DEFENSES), 100 * found[-1][1]
            writer.writerow([name, f"{passes:.1f}", *(f"{share:.1f}" for share in shares)])
            stream.flush()
            print(f"{name}: {passes:.1f} passes, {shares[0]:.1f}% and {shares[1]:.1f}% found")


if __name__ == "__main__":
    main()
