"""What each way of making passes faster gains, and whether verdicts stay what they are.

    OMP_NUM_THREADS=1 python -m benchmarks.throughput --data-dir DIR [--examples 1000] [--rounds 3] [--out FILE]

First whole evaluations, off and on in turns, the round being the seed: batch norm folded and channels last, bf16,
torch.compile, on three defenses of cifar10-jpeg and on three of digits, which have no batch norm. Agreement is the
share of examples with the same verdict in a round. Then single passes over a micro-batch, off and on in turns. Seconds
are of CPU time on a CPU, which other programs on a shared machine disturb least, and by the clock on a GPU.
"""

import argparse
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

import robench
from benchmarks.alone import write_page
from robench.access.judge import Judge
from robench.access.microbatches import AUTO, MicroBatcher
from robench.classifiers.classifier import assemble
from robench.classifiers.frozen import FrozenNetwork
from robench.data import dataset_of
from robench.data.split import Split
from robench.engine.sizing import make_ready
from robench.report import Table
from robench.specs import Architecture, Head, Input, find_card

CARDS = {
    "cifar10-jpeg": ("cifar10-jpeg/pgdat", "cifar10-jpeg/pgdat_he", "cifar10-jpeg/trades"),
    "digits": ("digits/pgdat", "digits/pgdat_he", "digits/trades"),
}
SWITCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fused": ({"search": "plain"}, {"search": "fused"}),
    "bf16": ({"precision": "fp32"}, {"precision": "bf16"}),
    "tf32": ({"precision": "fp32"}, {"precision": "tf32"}),
    "compiled": ({"search": "fused"}, {"search": "compiled"}),
}
"""What is off and what is on; all else is the default."""
NETWORKS: dict[str, tuple[str, dict[str, Any], tuple[int, int, int]]] = {
    "ResNet-18": ("resnet18", {}, (3, 32, 32)),
    "WRN-34-10": ("wide_resnet", {"depth": 34, "widen_factor": 10}, (3, 32, 32)),
    "ResNet-50, 224 pixels": ("torchvision_resnet", {"name": "resnet50"}, (3, 224, 224)),
}
"""Of real size, with random weights: architecture, arguments, shape of an image."""
Pass = Callable[[], object]


def seconds(device: torch.device) -> float:
    """A clock for work on a device."""
    if device.type == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device)
    return time.perf_counter()


def evaluations(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, str]]]:
    """A row for every switch, defense and attack."""
    device = torch.device(options.device)
    for name in options.switch:
        off, on = SWITCHES[name]
        for card in (card for dataset in options.dataset for card in CARDS[dataset]):
            data = dataset_of(find_card(card))
            split, model = data.load("test", options.data_dir), robench.load_model(card)
            split = split.sample(min(options.examples, len(split)), seed=0)
            for attack in options.attack:
                spent, same = [], []
                for seed in range(options.rounds):
                    records, times = [], []
                    for how in (off, on):
                        begin = seconds(device)
                        records.append(record(model, split, data.usual.text, attack, options.device, seed, how))
                        times.append(seconds(device) - begin)
                    spent.append(times)
                    same.append(100 * (records[0].robust == records[1].robust).mean())
                gains = [before / after for before, after in spent]
                yield (
                    f"{name}, {card}, {attack}",
                    {
                        "examples": f"{len(split)}",
                        "off s": f"{median(each for each, _ in spent):.2f}",
                        "on s": f"{median(each for _, each in spent):.2f}",
                        "gain": f"{median(gains):.2f} ({min(gains):.2f}-{max(gains):.2f})",
                        "same verdict %": f"{min(same):.2f}",
                        "robust %, off and on": f"{records[0].robust_accuracy:.2f} {records[1].robust_accuracy:.2f}",
                    },
                )


def record(model: nn.Module, split: Split, eps: str, attack: str, device: str, seed: int, how: dict[str, Any]) -> Any:
    """The verdicts of one evaluation."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluation = robench.evaluate(
            model, split.x[:], split.y, eps=eps, attacks=[attack], device=device, seed=seed, **how
        )
    return evaluation.results[0].record


def in_turns(passes: dict[str, Pass], rounds: int, device: torch.device) -> dict[str, float]:
    """Median seconds of each pass after one to warm up."""
    spent: dict[str, list[float]] = {name: [] for name in passes}
    for turn in range(rounds + 1):
        for name, run in passes.items():
            begin = seconds(device)
            run()
            if turn:
                spent[name].append(seconds(device) - begin)
    return {name: median(each) for name, each in spent.items()}


def networks(device: torch.device) -> Iterator[tuple[str, nn.Module, Tensor]]:
    """Name, network and one image: two defenses, and what is of real size."""
    for card in ("digits/pgdat", "cifar10-jpeg/pgdat"):
        shape, _ = dataset_of(find_card(card)).sizes
        yield card, robench.load_model(card).to(device), torch.rand(1, *shape, device=device)
    for name, (architecture, arguments, shape) in NETWORKS.items():
        torch.manual_seed(0)
        declared = Architecture(name=architecture, args=arguments)
        network = assemble(declared, Head(), Input(), shape, 10, "the benchmark").eval()
        yield name, network.to(device), torch.rand(1, *shape, device=device)


def back(model: nn.Module, x: Tensor) -> Pass:
    """A pass forwards and back over images."""

    def run() -> None:
        part = x.detach().requires_grad_()
        torch.autograd.grad(model(part).sum(), part)

    return run


def forwards(model: nn.Module, x: Tensor, mode: Callable[[], Any]) -> Pass:
    """A pass forwards over images."""

    def run() -> None:
        with mode():
            model(x)

    return run


def passes(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, str]]]:
    """A row for every network: milliseconds an image."""
    device = torch.device(options.device)
    for name, model, image in networks(device):
        frozen = FrozenNetwork.of(model, device).accelerated("fused", "fp32")
        judge = Judge(frozen, MicroBatcher.of(None, device))
        make_ready(judge, image, "fp32")
        size = judge.batcher.size
        x, fast = image.repeat(size, 1, 1, 1), frozen.search_module
        learning = in_turns({"on": back(model, x)}, options.rounds, device)["on"]
        model.requires_grad_(False)
        usual = image.repeat(min(AUTO[device.type], 4 * size), 1, 1, 1)
        spent = in_turns(
            {
                "plain": back(model, x),
                "fused": back(fast, x),
                "larger": back(fast, usual),
                "no_grad": forwards(fast, x, torch.no_grad),
                "inference": forwards(fast, x, torch.inference_mode),
            },
            options.rounds,
            device,
        )

        def each(seconds: float, count: int = size) -> str:
            return f"{1000 * seconds / count:.3g}"

        yield (
            name,
            {
                "micro-batch": f"{size}",
                "weights learn": each(learning),
                "frozen": each(spent["plain"]),
                "fused": each(spent["fused"]),
                "gain": f"{spent['plain'] / spent['fused']:.2f}",
                "fused, larger": f"{each(spent['larger'], len(usual))} ({len(usual)})",
                "no_grad": each(spent["no_grad"]),
                "inference_mode": each(spent["inference"]),
            },
        )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--switch", nargs="+", choices=list(SWITCHES), default=["fused", "bf16", "compiled"])
    parser.add_argument("--dataset", nargs="+", choices=list(CARDS), default=list(CARDS))
    parser.add_argument("--attack", nargs="+", default=["pgd-20", "apgd-ce"])
    parser.add_argument("--examples", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, default=Path("throughput.md"))
    options = parser.parse_args()
    titles = {"switch, defense, attack": evaluations, "network, ms an image": passes}
    tables = []
    for corner, measure in titles.items():
        rows = dict(measure(options))
        table = Table(corner, corner, list(next(iter(rows.values()))))
        for name, cells in rows.items():
            table.add(name, cells)
        tables.append(table)
    sizes = f"--examples {options.examples} --rounds {options.rounds}"
    command = f"OMP_NUM_THREADS=1 python -m benchmarks.throughput --data-dir DIR {sizes}"
    write_page(options.out, "Speed without another verdict", command, __doc__.split("\n\n")[2].strip(), tables)


if __name__ == "__main__":
    main()
