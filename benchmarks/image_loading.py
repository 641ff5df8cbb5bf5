"""How long 60,000 small JPEG files take to load, the first time and later, and a large folder's memory.

    python -m benchmarks.image_loading --data-dir DIR        a folder with cifar10-jpeg's train/ and test/
    python -m benchmarks.image_loading --large 5000          that many made images of 500 x 375, as ImageNet's

The bars: under 30 s on two cores, later under 1 s; never more than 3 GB. Each load is a process of its own; its seconds
are those of loading, without imports. Nothing is decoded before a first load, but the files themselves were read or
written before, so they may be in the system's memory. A later load asks the disk for size and time of every file, so
that none that was changed, added or removed is missed.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.alone import alone, write_page
from robench.report import Table

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
COLUMNS = ["seconds", "of all cores", "peak GB"]


def make_large(folder: Path, count: int) -> None:
    """Noise blown up, so that a file has about the size of a photograph."""
    random = np.random.default_rng(0)
    for at in range(count):
        path = folder / "val" / f"class{at % 10}" / f"{at:05d}.JPEG"
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(random.integers(0, 256, (94, 125, 3), dtype=np.uint8))
        coarse.resize((500, 375), Image.Resampling.BICUBIC).save(path, "JPEG", quality=90)


def measured(title: str, code: str, cache: Path, rounds: int) -> Table:
    """Rounds of a first load and two later ones; all must find the same images."""
    table, found = Table(title, "load", COLUMNS), set()
    for turn in range(1, rounds + 1):
        for what in ("first", "later", "later again"):
            spent = alone(["-c", code], {"ROBENCH_CACHE": str(cache / str(turn))})
            images, _, seconds = spent.printed.rpartition(" ")
            found.add(images)
            name = f"{what}, round {turn}" if rounds > 1 else what
            cells = (f"{float(seconds):.2f}", f"{spent.cores:.1f}", f"{spent.peak:.2f}")
            table.add(name, dict(zip(COLUMNS, cells, strict=True)))
            print(title, name, *cells, flush=True)
    if len(found) != 1:
        raise SystemExit(f"the loads differ: {found}")
    table.notes.append(
        "Seconds are of the wall and of loading alone; those of all cores are the whole process's, imports included."
    )
    return table


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=3, help="of the small images")
    parser.add_argument("--out", type=Path, default=Path("results/benchmarks/image_loading.md"))
    asked = parser.parse_args()
    tables = []
    with tempfile.TemporaryDirectory() as scratch:
        folder, cache = Path(scratch) / "imagenet", Path(scratch) / "cache"
        if asked.data_dir:
            code = CIFAR.format(folder=str(asked.data_dir))
            tables.append(measured("60,000 JPEG files of 32 x 32", code, cache / "small", asked.rounds))
        if asked.large:
            make_large(folder, asked.large)
            code = LARGE.format(folder=str(folder))
            title = f"{asked.large:,} JPEG files of 500 x 375, cropped to 224 x 224"
            tables.append(measured(title, code, cache / "large", 1))
    command = "python -m benchmarks.image_loading"
    command += f" --data-dir DIR --rounds {asked.rounds}" * bool(asked.data_dir)
    command += f" --large {asked.large}" * bool(asked.large)
    write_page(asked.out, "Loading image files", command, __doc__.split("\n\n", 2)[2].strip(), tables)


if __name__ == "__main__":
    main()
