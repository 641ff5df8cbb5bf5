"""How long 60,000 small JPEG files take to load, the first time and later, and a large folder's memory.

    python tests/benchmarks/image_loading.py --data-dir DIR        a folder with cifar10-jpeg's train/ and test/
    python tests/benchmarks/image_loading.py --large 5000          that many made images of 500 x 375, as ImageNet's

The bars: under 30 s on two cores, later under 1 s; never more than 3 GB. Each load is a process of its own.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

CIFAR = """import time
from pathlib import Path
from robench.data import find_dataset, split
begin, data = time.perf_counter(), find_dataset("cifar10-jpeg")
print([data.load(part, Path({folder!r})).sha256[:8] for part in ("train", "test")], time.perf_counter() - begin)"""
LARGE = """import time
from pathlib import Path
from robench.data import find_dataset, split
begin, data = time.perf_counter(), find_dataset("imagenet")
images = data.load("test", Path({folder!r}))
print(images.sha256[:8], images.x.shape, images.x[:64].mean(), time.perf_counter() - begin)"""
"""Each prints the seconds of loading last, imports not counted."""


def measured(code: str, cache: Path) -> tuple[float, float, str]:
    """Wall seconds with imports, peak memory in GB and what was printed, of a process."""
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], env=os.environ | {"ROBENCH_CACHE": str(cache)},
                          capture_output=True, text=True, check=True)  # fmt: skip
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return time.perf_counter() - begin, peak, done.stdout.strip()


def make_large(folder: Path, count: int) -> None:
    """Noise blown up, so that a file has about the size of a photograph."""
    random = np.random.default_rng(0)
    for at in range(count):
        path = folder / "val" / f"class{at % 10}" / f"{at:05d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (94, 125, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(path, "JPEG", quality=90)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--large", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, code = asked.data_dir, CIFAR
        if asked.large:
            folder, code = Path(scratch) / "imagenet", LARGE
            make_large(folder, asked.large)
        for what in ("first", "later", "later"):
            seconds, peak, printed = measured(code.format(folder=str(folder)), Path(scratch) / "cache")
            print(f"{what}: {seconds:.1f} s, at most {peak:.2f} GB so far, {printed}")


if __name__ == "__main__":
    main()
