"""How well `--dry-run` foretells what a battery takes, on defenses whose own records it is not shown.

    python -m benchmarks.dry_run [--model digits/pgdat ...] [--battery paper] [--out FILE]

Each defense is first forecast, then evaluated into an empty folder, one after the other. The bar: within 30% of
the true time.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from robench.data import find_dataset
from robench.devices import device_name
from robench.evaluation.cost import CostHistory
from robench.evaluation.progress import Quiet
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings
from robench.evaluation.run import evaluate, plan
from robench.paths import data_root, write_text
from robench.report import Table, markdown
from robench.specs import battery_attacks, find_card, list_models
from robench.store import Store, read_published

BAR = 0.3


def main() -> None:
    """Forecast, evaluate, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=[name for name in list_models() if name.startswith("digits/")])
    parser.add_argument("--battery", default="paper")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    records, specs = list(read_published(data_root() / "results")), battery_attacks(options.battery)
    split, settings = find_dataset("digits").load("test"), Settings(device="cpu")
    columns = ["forwards", "expected", "ratio", "seconds", "expected s", "ratio s"]
    table = Table(f"What `--dry-run` expects of the battery `{options.battery}`, and what it took", "defense", columns)
    off = []
    for name in options.model:
        card = find_card(name)
        under_test, threat = NetworkUnderTest.of_card(card), find_dataset("digits").usual
        with tempfile.TemporaryDirectory() as folder:
            store, history = Store(Path(folder)), CostHistory(records, without=card.name)
            request = EvaluationRequest(under_test, split, threat, tuple(specs), settings)
            planned = plan(request, store, history)
            begin = time.perf_counter()
            outcome = evaluate(request, store, Quiet())
            spent = time.perf_counter() - begin
        forwards, expected = sum(each.forwards for each in outcome.results), sum(each.forwards for each in planned)
        seconds = sum(each.seconds or 0.0 for each in planned)
        off += [seconds / spent - 1]
        table.add(
            name,
            {
                "forwards": f"{forwards:,}",
                "expected": f"{expected:,}",
                "ratio": f"{expected / forwards:.2f}",
                "seconds": f"{spent:.1f}",
                "expected s": f"{seconds:.1f}",
                "ratio s": f"{seconds / spent:.2f}",
            },
        )
        print(f"{name}: {seconds:.1f} s expected, {spent:.1f} s taken", flush=True)
    missed = sum(abs(each) > BAR for each in off)
    table.notes.append(
        f"`python -m benchmarks.dry_run --model {' '.join(options.model)} --battery {options.battery}` on "
        f"{device_name(torch.device('cpu'))}, one thread, torch {torch.__version__}, one run a defense; "
        f"{missed} of {len(off)} miss the bar of {BAR:.0%} of the true time."
    )
    text = markdown(table)
    print(text)
    if options.out:
        write_text(options.out, text + "\n")


if __name__ == "__main__":
    main()
