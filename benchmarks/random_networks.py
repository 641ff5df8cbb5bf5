"""Random networks: whether the interval covers the truth, and how the accuracy settles with more draws.

    python -m benchmarks.random_networks [--trials 200] [--examples 100] [--limit 100] [--out FILE]

First, a linear network of two classes on 4 x 4 images with Gaussian noise on every pixel: the majority of its answers
can be turned within linf eps exactly if eps |w|_1 exceeds the margin, so its robust accuracy on a million images is
known. Each trial draws other images and another seed, attacks them, and asks whether the 95% interval holds that
accuracy. Second, digits/pgdat behind noise of standard deviation 0.1 on every pixel: robust accuracy and interval with
1, 4, 16 and 64 draws, and the share of equal verdicts with micro-batches of 1, 7 and 64 images. One thread.
"""

import argparse
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import robench
from robench.data import find_dataset
from robench.data.pixels import Images
from robench.devices import device_name
from robench.numerics.stats import wilson
from robench.paths import write_text
from robench.report import Table, markdown

EPS, SIGMA, SCALE = 0.1, 0.2, 5
DRAWS = (1, 4, 16, 64)
SIZES = (1, 7, 64)


class Linear(nn.Module):
    """Logits 0 and w . (x + noise) + b."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, generator=torch.Generator().manual_seed(SCALE)))
        self.bias = -float(self.weight.detach().sum()) / 2
        self.eval()

    def margin(self, x: Tensor) -> Tensor:
        """Return the logit of class 1 without noise, (N,)."""
        return x.flatten(1) @ self.weight.detach() + self.bias

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, 2)."""
        value = (x + SIGMA * torch.randn_like(x)).flatten(1) @ self.weight + self.bias
        return torch.stack([torch.zeros_like(value), value], 1)


class Noisy(nn.Module):
    """digits/pgdat behind noise."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = robench.load_model("digits/pgdat")
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (N, 10)."""
        logits: Tensor = self.inner(x + 0.1 * torch.randn_like(x))
        return logits


def images(n: int, seed: int) -> Tensor:
    """Draw images whose balls lie inside [0, 1]."""
    return EPS + (1 - 2 * EPS) * torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(seed))


def evaluated(network: nn.Module, x: Images, y: Tensor, attacks: list[str], **options: Any) -> Any:
    """Evaluate without the warning about trust, which is no matter here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return robench.evaluate(network, x, y, attacks=attacks, device="cpu", **options)


def coverage(trials: int, examples: int) -> Table:
    """Count the trials whose interval holds the true robust accuracy."""
    network = Linear()
    reach = EPS * float(network.weight.detach().abs().sum())
    truth = 100 * float((network.margin(images(10**6, trials)).abs() > reach).float().mean())
    held, width, narrow = 0, 0.0, 0
    for trial in range(trials):
        x = images(examples, trial)
        y = (network.margin(x) > 0).long()
        record = evaluated(network, x, y, ["cw-linf-20"], eps=EPS, draws=4, seed=trial).results[0].record
        low, high = record.interval
        held += low <= truth <= high
        width += high - low
        plain = wilson(int(record.robust.sum()), examples)
        narrow += 100 * plain[0] <= truth <= 100 * plain[1]
    low, high = wilson(held, trials)
    table = Table(
        f"Interval of a random network, {trials} trials of {examples} images",
        "interval",
        ["holds the truth", "95% of that"],
    )
    table.add(
        "of robench", {"holds the truth": f"{held} of {trials}", "95% of that": f"{100 * low:.1f}-{100 * high:.1f}%"}
    )
    table.add("Wilson's alone", {"holds the truth": f"{narrow} of {trials}"})
    table.notes.append(f"True robust accuracy {truth:.2f}%; mean width of the interval {width / trials:.1f} points.")
    return table


def settling(limit: int) -> Table:
    """Measure the robust accuracy with more and more draws."""
    split = find_dataset("digits").load("test").limit(limit)
    table = Table(
        f"digits/pgdat behind noise, linf 0.2, {limit} examples",
        "draws",
        ["attack", "robust %", "95% CI", "one draw %", "passes", "seconds"],
    )
    for draws in DRAWS:
        for attack in ("pgd-20", "cascade") if draws <= DRAWS[-2] else ("pgd-20",):
            begin = time.perf_counter()
            record = evaluated(Noisy(), split.x, split.y, [attack], eps=0.2, draws=draws).results[0].record
            low, high = record.interval
            cells = {"attack": attack, "robust %": f"{record.robust_accuracy:.2f}", "95% CI": f"{low:.1f}-{high:.1f}"}
            cells |= {"one draw %": f"{record.single_draw[0]:.2f}", "seconds": f"{time.perf_counter() - begin:.0f}"}
            spent = record.header.forwards + record.header.backwards
            table.add(f"{draws} ({attack})", {**cells, "passes": f"{spent:,}"})
    rows = [evaluated(Noisy(), split.x, split.y, ["pgd-20"], eps=0.2, draws=4, batch_size=size) for size in SIZES]
    first = rows[0].results[0].record.robust
    same = [float((each.results[0].record.robust == first).mean()) for each in rows[1:]]
    sizes = ", ".join(map(str, SIZES))
    table.notes.append(f"Micro-batches of {sizes} images agree on at least {100 * min(same):.1f}% of the verdicts.")
    return table


def main() -> None:
    """Measure, and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tables = [coverage(arguments.trials, arguments.examples), settling(arguments.limit)]
    text = "\n".join(
        [
            "# Random networks",
            "",
            f"One thread of {device_name(torch.device('cpu'))}. One run.",
            "",
            *map(markdown, tables),
        ]
    )
    if arguments.out:
        write_text(arguments.out, text)
    else:
        print(text)


if __name__ == "__main__":
    main()
