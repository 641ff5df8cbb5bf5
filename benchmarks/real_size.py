"""Networks and images of real size on a CPU: the battery `quick`, in which time and memory.

    OMP_NUM_THREADS=1 python -m benchmarks.real_size --data-dir DIR    a folder with cifar10-jpeg's test/

WRN-34-10 on CIFAR-10 test images (re-encoded as JPEG), eps 8/255, and ResNet-50 on 224 x 224 images, eps 4/255. No
ImageNet is needed: its images are made here, smooth coloured noise. The weights are random, from a fixed seed, and the
labels what the network says, so that every example is attacked. With batch norm's initial statistics WRN-34-10 gives
all images nearly the same logits, which no attack moves; so the statistics are those of the images, from one pass in
training mode. The accuracies mean nothing but that the path works: random networks break within a few steps.

A second table is the peak of one pass forwards and back over more and more images, in micro-batches that fit the
network (`robench.engine.sizing`) and all at once. Each number is of a process of its own, and is kept in --kept:
the same command measures only what is missing.
"""

import argparse
import json
import resource
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

import robench
from benchmarks.alone import alone, write_page
from robench.access.judge import Judge
from robench.access.microbatches import AUTO, MicroBatcher
from robench.classifiers import make_classifier
from robench.classifiers.classifier import Classifier
from robench.classifiers.frozen import FrozenNetwork
from robench.data import dataset_of, find_dataset
from robench.engine.sizing import make_ready
from robench.paths import write_text
from robench.report import Table
from robench.specs import find_card

CARDS = {"WRN-34-10": "cifar10/pgdat", "ResNet-50": "imagenet/freeat_resnet50"}
"""Only their architecture, input and dataset are used."""
IMAGES = {"WRN-34-10": (16, 64), "ResNet-50": (4, 16)}
PASSES: dict[str, tuple[int, ...]] = {"WRN-34-10": (32, 64, 128), "ResNet-50": (16, 32, 64)}
COLUMNS = [
    "images", "attacks", "robust %", "forwards", "backwards", "forwards in all", "seconds", "peak GB", "GB before",
    "micro-batch",
]  # fmt: skip


def network_of(name: str) -> nn.Module:
    """With random weights, frozen."""
    torch.manual_seed(0)
    return make_classifier(find_card(CARDS[name])).requires_grad_(False).eval()


def images_of(name: str, count: int, data_dir: Path) -> Tensor:
    """So many in [0, 1], (N, 3, H, W), every class in proportion where there are classes."""
    if name == "WRN-34-10":
        return find_dataset("cifar10-jpeg").load("test", data_dir).sample(count, seed=0).x[:]
    random, side = torch.Generator().manual_seed(0), 224
    coarse = [torch.randn(count, 3, n, n, generator=random) / n**0.5 for n in (7, 14, 28, 56)]
    noise = sum(F.interpolate(each, size=side, mode="bicubic") for each in coarse)
    low, high = noise.amin((1, 2, 3), keepdim=True), noise.amax((1, 2, 3), keepdim=True)
    return (noise - low) / (high - low)


def settle(network: nn.Module, x: Tensor) -> None:
    """Let batch norm take its statistics from the images."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # their mean, not a moving one
    with torch.no_grad():
        network.train()(x)
    network.eval()


def peak() -> float:
    """Of this process so far, in GB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def battery(name: str, count: int, data_dir: Path) -> dict[str, str]:
    """One network under `quick`: a row of the table."""
    network, x = network_of(name), images_of(name, count, data_dir)
    settle(network, x)
    with torch.no_grad():
        y = torch.cat([network(part).argmax(1) for part in x.split(8)])
    forwards, sizes = [], [0]

    def count_pass(module: nn.Module, given: tuple[Tensor]) -> None:
        if isinstance(module, Classifier):  # the network, or what the search runs in its place
            forwards.append(len(given[0]))
            if given[0].requires_grad:
                sizes.append(len(given[0]))

    register_module_forward_pre_hook(count_pass)  # a hook on the network would keep robench from folding it
    before, begin = peak(), time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a verdict on a random network may well be broken
        report = robench.evaluate(network, x, y, eps=dataset_of(find_card(CARDS[name])).usual.text, battery="quick")
    return {
        "images": f"{count}",
        "attacks": f"{len(report.results)}",
        "robust %": f"{report.worst_case.robust_accuracy:.2f}",
        "forwards": f"{sum(each.forwards for each in report.results):,}",
        "backwards": f"{sum(each.backwards for each in report.results):,}",
        "forwards in all": f"{sum(forwards):,}",
        "seconds": f"{time.perf_counter() - begin:.0f}",
        "peak GB": f"{peak():.2f}",
        "GB before": f"{before:.2f}",
        "micro-batch": f"{max(sizes)}",
    }


def one_pass(name: str, count: int, limited: bool) -> dict[str, str]:
    """The peak of one pass forwards and back over so many images of noise, and the micro-batch in the end."""
    network, x = network_of(name), torch.rand(count, *dataset_of(find_card(CARDS[name])).sizes[0])
    batcher = MicroBatcher(AUTO["cpu"])
    if limited:
        batcher = MicroBatcher.auto(torch.device("cpu"))
        make_ready(Judge(FrozenNetwork.of(network, torch.device("cpu")), batcher), x, "fp32")

    def slope(part: Tensor) -> Tensor:
        part = part.requires_grad_()
        return torch.autograd.grad(network(part).sum(), part)[0]

    begin = time.perf_counter()
    batcher(slope, x)
    took = (time.perf_counter() - begin) / count
    return {"peak": f"{peak():.2f} GB", "rest": f"{min(batcher.size, count)}, {took:.2f} s an image"}


def tables(run: Callable[..., dict[str, str]]) -> list[Table]:
    """Both, each cell from a process of its own."""
    first = Table("The battery `quick`", "network", COLUMNS)
    for name, sizes in IMAGES.items():
        for count in sizes:
            first.add(f"{name}, {count}", run(name, count))
    first.notes.append(
        "Forwards and backwards are the attacks'; forwards in all count the clean passes, the judge's and those of the "
        "diagnostics too. The seconds are the whole call's. The peak is the process's, Python, torch and weights "
        "included; GB before is what it had needed when the evaluation began. The micro-batch is the largest that was "
        "passed forwards and back."
    )
    second = Table(
        "One pass forwards and back: peak, micro-batch, time", "network", ["in micro-batches that fit", "at once"]
    )
    for name, counts in PASSES.items():
        for count in counts:
            cells = {}
            for column, limited in zip(second.columns, (True, False), strict=True):
                found = run(name, count, "--limited" if limited else "--unlimited")
                cells[column] = f"{found['peak']}, {found['rest']}"
            second.add(f"{name}, {count}", cells)
    return [first, second]


def main() -> None:
    """Measure and write, or be one of the processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/real_size.md"))
    parser.add_argument("--kept", type=Path, default=Path("results/benchmarks/raw/real_size.json"))
    parser.add_argument("--one", nargs=2, metavar=("NETWORK", "IMAGES"), help="only this, here, as JSON")
    parser.add_argument("--limited", action="store_true", help="with --one: one pass, in micro-batches that fit")
    parser.add_argument("--unlimited", action="store_true", help="with --one: one pass, all at once")
    asked = parser.parse_args()
    if asked.one:
        name, count = asked.one[0], int(asked.one[1])
        single = asked.limited or asked.unlimited
        print(json.dumps(one_pass(name, count, asked.limited) if single else battery(name, count, asked.data_dir)))
        return

    kept = json.loads(asked.kept.read_text(encoding="utf-8")) if asked.kept.is_file() else {}

    def run(name: str, count: int, *options: str) -> dict[str, str]:
        what = " ".join([name, str(count), *options])
        if what not in kept:
            kept[what] = json.loads(
                alone(["-m", "benchmarks.real_size", "--data-dir", str(asked.data_dir), "--one", *what.split()]).printed
            )
            write_text(asked.kept, json.dumps(kept, indent=1))
            print(what, kept[what], flush=True)
        return kept[what]

    command = "OMP_NUM_THREADS=1 python -m benchmarks.real_size --data-dir DIR"
    write_page(asked.out, "Networks of real size on a CPU", command, __doc__.split("\n\n", 2)[2].strip(), tables(run))


if __name__ == "__main__":
    main()
