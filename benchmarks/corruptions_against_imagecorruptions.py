"""The fifteen corruptions at five severities against imagecorruptions-imaug, image by image, in turns, A B A B ...

    python -m benchmarks.corruptions_against_imagecorruptions [--images 1000] [--theirs 50] [--rounds 2]

Real images of 32 x 32 pixels. Times are for each image; theirs is measured on fewer. It has ImageNet-C's constants
only; ours takes CIFAR-10-C's here, or with --large ImageNet-C's too, so that both do the same work.
The bar: at least 10 times faster over the fifteen together, and under 6 minutes on two cores for all 75 cells of 10,000
images. One thread; cells do not depend on each other, so two processes take half the time of one.
"""

import argparse
import time
from collections.abc import Callable
from statistics import mean

import cv2
import imagecorruptions
import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from robench.corruptions import SEVERITIES, corrupt, corruptions, generate
from robench.devices import device_name
from robench.report import Table, markdown

SIDE, CELLS, CORES = 32, 10_000, 2


def photographs(count: int) -> np.ndarray:
    """Tiles of scikit-learn's two photographs at 640 x 416, repeated up to `count`; uint8, (count, 32, 32, 3)."""
    tiles = []
    for photograph in load_sample_images().images:
        pixels = np.asarray(Image.fromarray(photograph).resize((640, 416), Image.Resampling.LANCZOS))
        tiles += [pixels[i : i + SIDE, j : j + SIDE] for i in range(0, 416, SIDE) for j in range(0, 640, SIDE)]
    return np.stack([tiles[i % len(tiles)] for i in range(count)])


def milliseconds(work: Callable[[], object], images: int) -> float:
    """For each image."""
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) / images * 1000


def sides(name: str, severity: int, ours: torch.Tensor, theirs: np.ndarray) -> list[tuple[Callable[[], object], int]]:
    """Both ways to make one cell, each with its number of images."""
    return [
        (lambda: [imagecorruptions.corrupt(each, severity, name) for each in theirs], len(theirs)),
        (lambda: corrupt(ours, name, severity, range(len(ours))), len(ours)),
    ]


def measured(name: str, ours: torch.Tensor, theirs: np.ndarray, rounds: int) -> tuple[float, float]:
    """Theirs and ours: milliseconds for an image at all five severities, mean of the rounds."""
    total = [0.0, 0.0]
    for severity in SEVERITIES:
        for work, _ in sides(name, severity, ours[:2], theirs[:2]):
            work()  # compiles, loads photographs
        times = [[milliseconds(*side) for side in sides(name, severity, ours, theirs)] for _ in range(rounds)]
        total = [before + mean(side) for before, side in zip(total, zip(*times, strict=True), strict=True)]
    return total[0], total[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000, help="ours")
    parser.add_argument("--theirs", type=int, default=50, help="as many of the images for imagecorruptions-imaug")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--large", action="store_true", help="ImageNet-C's constants on both sides")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if options.large:
        generate.is_small = lambda x: False  # type: ignore[attr-defined]
    pixels = photographs(options.images)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(255).contiguous()
    columns = ["imagecorruptions, ms an image", "robench, ms an image", "ratio"]
    table = Table("75 cells: 15 corruptions, 5 severities each", "corruption", columns)
    both = []
    for name in corruptions():
        both.append(measured(name, images, pixels[: options.theirs], options.rounds))
        table.add(name, row(*both[-1]))
    theirs, ours = map(sum, zip(*both, strict=True))
    table.add("all fifteen", row(theirs, ours))
    table.notes.append(
        f"All 75 cells of {CELLS:,} images on {CORES} cores: {minutes(ours):.1f} minutes, imagecorruptions "
        f"{minutes(theirs):.1f} (projected). {options.images} and {options.theirs} images of {SIDE} x {SIDE}, mean of "
        f"{options.rounds} rounds, {device_name(torch.device('cpu'))}."
    )
    print(markdown(table))


def row(theirs: float, ours: float) -> dict[str, str]:
    """The cells of one corruption; each time is the sum over the severities."""
    return {
        "imagecorruptions, ms an image": f"{theirs:.2f}",
        "robench, ms an image": f"{ours:.3f}",
        "ratio": f"{theirs / ours:.1f}",
    }


def minutes(milliseconds_an_image: float) -> float:
    """For all images on all cores."""
    return milliseconds_an_image * CELLS / 1000 / 60 / CORES


if __name__ == "__main__":
    main()
