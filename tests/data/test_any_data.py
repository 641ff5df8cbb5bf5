"""Property: evaluated pixels and labels equal an independent reader's, or one sentence says why there are none.

The readers are NumPy, tifffile and Pillow's own conversions, applied here to what was written or held in memory.
"""

import io
import tempfile
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset

from robench import paths
from robench.data import find_dataset
from robench.data.given import given as given_examples
from robench.errors import InputError

FAST = settings(max_examples=60, deadline=None, suppress_health_check=[*HealthCheck])


@contextmanager
def place():
    """An empty folder with a cache of its own."""
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.CACHE, str(Path(name) / "cache"))
        yield Path(name)


def equal_or_refused(load, pixels, labels, allowed):
    """Load; compare with pixels (N, H, W, C) in [0, 1] and labels, or accept one sentence where one is allowed."""
    try:
        split = load()
    except InputError as refusal:
        assert allowed, f"refused without need: {refusal}"
        assert "\n" not in str(refusal)
        assert str(refusal).endswith((".", "?"))
        return
    assert pixels is not None, "taken, although its meaning is open"
    assert np.allclose(split.x[:].permute(0, 2, 3, 1).numpy(), pixels, atol=1e-6)
    assert split.y.tolist() == [int(each) for each in np.ravel(labels)]


# ---- Arrays ----

TYPES = ["u1", "<f4", ">f4", "<f8", ">f8", "f2", "<u2", ">i4", "i8", "?", "c8"]
LABEL_TYPES = ["u1", "i1", "<i2", ">i4", "i8", "u8", "f4", "f8", "?", "U1"]


@st.composite
def archives(draw):
    """Arrays in any type, layout and label type, with the pixels and labels that they mean."""
    channels = draw(st.sampled_from([0, 1, 2, 3, 4, 13]))  # 0: left out
    height, width = draw(st.sampled_from([(8, 8), (9, 7), (5, 5)]))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    raw = rng.integers(0, 256, (6, height, width, max(channels, 1)), dtype=np.uint8)
    kind = np.dtype(draw(st.sampled_from(TYPES)))
    x = raw if kind == np.uint8 else (raw / 255 if kind.kind in "fc" else raw).astype(kind)
    first = draw(st.booleans())
    x = x[..., 0] if channels == 0 else x.transpose(0, 3, 1, 2) if first else x
    x = draw(st.sampled_from([np.ascontiguousarray, np.asfortranarray, lambda x: x[::-1].copy()[::-1]]))(x)
    labels = np.arange(6) % 3
    kind_of_labels = np.dtype(draw(st.sampled_from(LABEL_TYPES)))
    form = draw(st.sampled_from(["plain", "column", "one-hot", "negative", "short"]))
    y = {
        "plain": labels, "column": labels[:, None], "one-hot": np.eye(3)[labels], "negative": labels - 1,
        "short": labels[1:],
    }[form]  # fmt: skip
    certain = channels in (0, 1, 3) or height == width
    good_labels = kind_of_labels.kind in "iuf" and form in ("plain", "column")
    good_labels |= kind_of_labels.kind in "iufb" and form == "one-hot"
    readable = kind == np.uint8 or kind.kind == "f"
    pixels = np.asarray(x, np.float64) / (255 if kind == np.uint8 else 1) if readable else None
    if pixels is not None:
        pixels = pixels[..., None] if channels == 0 else pixels.transpose(0, 2, 3, 1) if first else pixels
    names = draw(st.sampled_from([("x", "y"), ("x_test", "y_test"), ("test_images", "test_labels")]))
    taken = certain and good_labels and readable
    y = y.astype(kind_of_labels) if not (form == "negative" and kind_of_labels.kind == "u") else y
    return dict(zip(names, (x, y), strict=True)), pixels if taken else None, labels


@FAST
@given(archives())
def test_any_arrays_are_what_numpy_reads_or_one_sentence(case):
    held, pixels, labels = case
    with place() as folder:
        np.savez(folder / "data.npz", **held)
        equal_or_refused(find_dataset(f"npz:{folder / 'data.npz'}").load, pixels, labels, allowed=pixels is None)


# ---- Encoded images ----


def png(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def tiff(array, **options):
    stream = io.BytesIO()
    tifffile.imwrite(stream, array, **options)
    return stream.getvalue()


@st.composite
def encoded(draw):
    """An encoded image with the RGB pixels in [0, 1] that it means; None if its range is open."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    colours = rng.integers(0, 256, (8, 6, 3), dtype=np.uint8)
    kind = draw(st.sampled_from(["RGB", "L", "LA", "RGBA", "P", "1", "u1", "<u2", ">u2", "rgb16", "u4", "i2", "f4"]))
    if kind in ("RGB", "L", "LA", "RGBA", "1"):
        image = Image.fromarray(colours).convert(kind)
        return png(image), np.asarray(image.convert("RGB")) / 255
    if kind == "P":
        image = Image.fromarray(colours).quantize(16)
        palette = np.array(image.getpalette()).reshape(-1, 3)
        return png(image), palette[np.asarray(image)] / 255
    if kind == "rgb16":
        deep = rng.integers(0, 65536, (8, 6, 3), dtype=np.uint16)
        return tiff(deep, photometric="rgb"), deep // 256 / 255
    values = rng.integers(0, 100, (8, 6)) if kind in ("i2", "f4") else rng.integers(0, np.iinfo(kind).max, (8, 6))
    data = tiff(values.astype(kind), photometric="minisblack", byteorder=">" if kind[0] == ">" else "<")
    if kind not in ("u1", "<u2", ">u2"):
        return data, None
    seen = tifffile.imread(io.BytesIO(data)) // (1 if kind == "u1" else 256)
    return data, np.repeat(seen[..., None], 3, 2) / 255


@FAST
@given(
    st.lists(encoded(), min_size=2, max_size=4),
    st.lists(st.sampled_from(["", "images", "a/b"]), min_size=4, max_size=4),
    st.sets(st.sampled_from(["cat", "dog", "10", "2", "Ship"]), min_size=2, max_size=3),
)
def test_any_folder_is_what_other_readers_read_or_one_sentence(images, inner, classes):
    names = sorted(classes)[: len(images)]
    with place() as folder:
        expected = {}
        for at, (held, pixels) in enumerate(images):
            label = at % len(names)
            path = folder / "mine" / names[label] / inner[at] / f"{at}.{'png' if held[1:4] == b'PNG' else 'tif'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(held)
            expected[label, str(path)] = pixels
            for junk in ("._1.png", "Thumbs.db", "notes.txt"):
                (path.parent / junk).write_bytes(b"")
        used = [pixels for _, pixels in sorted(expected.items())]
        refused = any(pixels is None for pixels in used)
        pixels = None if refused else np.stack(used)
        labels = [label for label, _ in sorted(expected)]
        equal_or_refused(find_dataset(f"folder:{folder / 'mine'}").load, pixels, labels, allowed=refused)


@FAST
@given(
    st.lists(encoded(), min_size=1, max_size=5),
    st.sampled_from([pa.int8(), pa.int64(), pa.uint16(), pa.float32(), pa.string(), pa.bool_()]),
    st.integers(-1, 3),
    st.integers(1, 3),
)
def test_any_parquet_is_what_other_readers_read_or_one_sentence(images, kind, lowest, shards):
    labels = [lowest + at % 2 for at in range(len(images))]
    negative = min(labels) < 0
    if pa.types.is_unsigned_integer(kind) and negative:
        kind = pa.int16()
    values = pa.array([bool(each) for each in labels], kind) if pa.types.is_boolean(kind) else None
    values = pa.array(map(str, labels), kind) if pa.types.is_string(kind) else values or pa.array(labels, kind)
    table = pa.table({"image": [{"bytes": held, "path": None} for held, _ in images], "label": values})
    whole = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    refused = negative or not whole or any(pixels is None for _, pixels in images)
    with place() as folder:
        cuts = np.linspace(0, len(images), shards + 1).astype(int)
        for at, (begin, end) in enumerate(pairwise(cuts)):
            pq.write_table(table.slice(begin, end - begin), folder / f"test-{at:05d}-of-{shards:05d}.parquet")
        load = find_dataset(f"parquet:{folder / f'test-00000-of-{shards:05d}.parquet'}").load
        pixels = None if refused else np.stack([pixels for _, pixels in images])
        equal_or_refused(load, pixels, labels, allowed=refused)


# ---- Datasets and loaders in Python ----


class Held(Dataset):
    def __init__(self, examples):
        self.examples = examples

    def __len__(self):
        return len(self.examples)

    def __getitem__(self, at):
        return self.examples[at]


class Streamed(IterableDataset):
    def __init__(self, examples):
        self.examples = examples

    def __iter__(self):
        return iter(self.examples)


@st.composite
def held(draw):
    """A dataset or loader in any form, with the pixels (N, H, W, C) and labels that it means; None if it is refused."""
    channels, n = draw(st.sampled_from([1, 3, 13])), draw(st.integers(1, 9))
    raw = np.random.default_rng(draw(st.integers(0, 99))).integers(0, 256, (n, 8, 8, channels), dtype=np.uint8)
    labels = np.arange(n) % 3
    images = {
        "bytes": lambda x: torch.from_numpy(x).permute(2, 0, 1),
        "floats": lambda x: torch.from_numpy(x).permute(2, 0, 1) / 255,
        "doubles": lambda x: x / 255,
        "array": lambda x: x,
        "big-endian": lambda x: (x / 255).astype(">f4"),
        "pillow": lambda x: Image.fromarray(x if channels == 3 else x[..., 0]),
        "signed": lambda x: torch.from_numpy(x).permute(2, 0, 1) / 128 - 1,
        "levels": lambda x: x.astype(np.int64),
    }
    image = draw(st.sampled_from(sorted({*images} - ({"pillow"} if channels == 13 else set()))))
    numbers: dict[str, Any] = {
        "int": int, "float": float, "tensor": torch.tensor, "column": lambda y: np.array([y]), "text": str,
        "one-hot": lambda y: np.eye(3)[y], "half": lambda y: y + 0.5, "none": lambda y: None,
        "negative": lambda y: int(y) - 1,
    }  # fmt: skip
    number = draw(st.sampled_from(sorted(numbers)))
    pairs = [(images[image](x), numbers[number](y)) for x, y in zip(raw, labels, strict=True)]
    wrap = draw(st.sampled_from([tuple, lambda p: {"image": p[0], "label": p[1]}, lambda p: [*p, "more"]]))
    examples = [wrap(p) for p in pairs]
    forms = [
        lambda: Held(examples), lambda: examples, lambda: Streamed(examples),
        lambda: DataLoader(Held(examples), 2, shuffle=True, drop_last=True), lambda: DataLoader(Streamed(examples), 2),
        lambda: Subset(ConcatDataset([Held(examples), Held(examples)]), range(n)),
    ]  # fmt: skip
    good = image not in ("signed", "levels") and number in ("int", "float", "tensor", "column", "one-hot")
    data = draw(st.sampled_from(forms))()
    return data, raw / 255 if good else None, labels


@FAST
@given(held())
def test_any_dataset_is_what_it_holds_or_one_sentence(case):
    data, pixels, labels = case
    equal_or_refused(lambda: given_examples(data), pixels, labels, allowed=pixels is None)
