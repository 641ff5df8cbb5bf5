"""What hypersphere embedding costs in training time: epochs of both defenses in turns, A B A B ...

    python -m benchmarks.he_overhead [--rounds 9]

The paper says that the overhead is negligible (Table 3: 11.38 and 11.48 minutes, 0.9%).
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import torch

from robench.devices import device_name
from robench.specs import find_card
from robench.training.processes import Team
from robench.training.trainer import Trainer

PAIRS = (("pgdat", "pgdat_he"), ("trades", "trades_he"))


def ratios(base: str, he: str, rounds: int) -> list[float]:
    """Seconds an epoch with HE over without, pair by pair; the first pair warms up."""
    team = Team(0, 1, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as folder:
        trainers = [Trainer(find_card(name), Path(folder) / name, team, None) for name in (base, he)]
        pairs = [[trainer.epoch().seconds for trainer in trainers] for _ in range(rounds + 1)]
    return [with_he / without for without, with_he in pairs[1:]]


def main() -> None:
    """Print median, minimum and maximum for each pair."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(device_name(torch.device("cpu")))
    for base, he in PAIRS:
        found = ratios(base, he, rounds)
        middle, low, high = statistics.median(found), min(found), max(found)
        print(f"{he} / {base}: median {middle:.3f} ({low:.3f} to {high:.3f}, {rounds} pairs)")


if __name__ == "__main__":
    main()
