"""How much of an attack's time is inside the network, and what the rest is spent on.

    python -m benchmarks.engine_overhead [--examples 540] [--out FILE]

Attacks `pgd-20` and the first four steps of `spsa-80` run on two networks: a digits card, and the ResNet-18 common on
CIFAR with random weights on made images. What counts as inside: the network's forward passes and the passes back,
the judge's and the clean ones too. Seconds are of CPU time, which other programs on a shared machine disturb least.
The bars: 90% inside on the ResNet, 60% on the tiny network.
"""

import argparse
import cProfile
import functools
import pstats
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import nn

import robench
from robench.classifiers.classifier import Classifier, assemble
from robench.data import find_dataset
from robench.devices import device_name
from robench.paths import write_text
from robench.report import Table, markdown
from robench.specs import Architecture, Head, Input, find_attack

BARS = {"digits/pgdat": 60.0, "ResNet-18": 90.0}
ATTACKS = {"pgd-20": (20, 1), "spsa-80": (4, 30)}
"""How many of its steps are run, which are all alike, and on how many times fewer examples."""
SHOWN = 8


class Inside:
    """Adds up the CPU seconds of the calls it wraps; a call inside another counts once."""

    def __init__(self) -> None:
        self.seconds, self.running = 0.0, False

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.running:
                return function(*args, **kwargs)
            self.running, begin = True, time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.process_time() - begin
                self.running = False

        return call


@contextmanager
def watched() -> Iterator[Inside]:
    """Time the passes of all networks while the body runs."""
    inside, forward, grad = Inside(), Classifier.forward, torch.autograd.grad
    Classifier.forward, torch.autograd.grad = inside.timed(forward), inside.timed(grad)
    try:
        yield inside
    finally:
        Classifier.forward, torch.autograd.grad = forward, grad


def resnet() -> nn.Module:
    """The ResNet-18 common on CIFAR, random weights."""
    torch.manual_seed(0)
    declared = Architecture(name="resnet18")
    return assemble(declared, Head(), Input(), (3, 32, 32), 10, "the benchmark").eval()


def cases(examples: int) -> Iterator[tuple[str, nn.Module, torch.Tensor, torch.Tensor, float]]:
    """Name, network, images, labels and eps."""
    split = find_dataset("digits").load("test", limit=examples)
    yield "digits/pgdat", robench.load_model("pgdat"), split.x[:], split.y, 0.2
    model, x = resnet(), torch.rand(max(examples // 9, 1), 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = model(x).argmax(1)
    yield "ResNet-18", model, x, y, 0.25 / 255


def rest(profile: cProfile.Profile) -> str:
    """The functions that took most outside the network."""
    entries = [
        (own, where[2], Path(where[0]).name)
        for where, (_, _, own, _, _) in pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
        if not any(word in f"{where[0]} {where[2]}" for word in ("nn/", "conv2d", "run_backward", "relu", "batch_norm"))
    ]
    return ", ".join(
        f"{name.strip('<>')} ({file}) {own:.2f} s" for own, name, file in sorted(entries, reverse=True)[:SHOWN]
    )


def main() -> None:
    """Measure, print, and write if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=540)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    columns = ["examples", "CPU s", "inside %", "least %", "bar %", "most of the rest"]
    table = Table("CPU time inside the network", "network, attack", columns)
    for name, model, x, y, eps in cases(options.examples):
        for attack, (steps, fewer) in ATTACKS.items():
            few, spec = max(len(x) // fewer, 2), find_attack(attack).model_copy(update={"steps": steps})
            run = functools.partial(robench.evaluate, model, x[:few], y[:few], eps=eps, attacks=[spec], device="cpu")
            run()  # warm up
            shares, total = [], 0.0
            for _ in range(options.rounds):
                begin = time.process_time()
                with watched() as inside:
                    run()
                total = time.process_time() - begin
                shares.append(100 * inside.seconds / total)
            with cProfile.Profile() as profile:
                run()
            cells = {
                "examples": str(few),
                "CPU s": f"{total:.1f}",
                "inside %": f"{median(shares):.1f}",
                "least %": f"{min(shares):.1f}",
                "bar %": f"{BARS[name]:.0f}",
                "most of the rest": rest(profile),
            }
            table.add(f"{name}, {attack}", cells)
    table.notes.append(
        f"`python -m benchmarks.engine_overhead --examples {options.examples} --rounds {options.rounds}` on "
        f"{device_name(torch.device('cpu'))}, one thread, torch {torch.__version__}; medians and least of the rounds."
    )
    text = markdown(table)
    print(text)
    if options.out:
        write_text(options.out, text + "\n")


if __name__ == "__main__":
    main()
