"""`--limit`: all classes in proportion even if the data is ordered by class, the same examples for every network."""

import json
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from robench.data import find_dataset, imagenet_c
from robench.data.corrupted import COMMON
from robench.data.split import Split, first_rows
from robench.evaluation.corruptions import Published
from robench.paths import CACHE, data_root
from robench.store import ids_sha256, read_file

CLASSES, EACH = 3, 20


def picture(label, at):
    pixels = np.random.default_rng(100 * label + at).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def png(label, at):
    stream = BytesIO()
    picture(label, at).save(stream, "png")
    return stream.getvalue()


LABELS = [label for label in range(CLASSES) for _ in range(EACH)]
PIXELS = torch.stack(
    [
        torch.from_numpy(np.asarray(picture(label, at)).transpose(2, 0, 1) / np.float32(255))
        for label in range(CLASSES)
        for at in range(EACH)
    ]
)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))


@pytest.fixture
def ordered(tmp_path):
    """The same images, ordered by class, as a folder, an archive and a Parquet file of small row groups."""
    for label in range(CLASSES):
        (tmp_path / "images" / f"class{label}").mkdir(parents=True)
        for at in range(EACH):
            picture(label, at).save(tmp_path / "images" / f"class{label}" / f"{at:03}.png")
    np.savez(tmp_path / "images.npz", x=PIXELS.numpy(), y=np.array(LABELS))
    held = [{"bytes": png(label, at), "path": None} for label in range(CLASSES) for at in range(EACH)]
    pq.write_table(pa.table({"image": held, "label": LABELS}), tmp_path / "images.parquet", row_group_size=7)
    return [f"folder:{tmp_path / 'images'}", f"npz:{tmp_path / 'images.npz'}", f"parquet:{tmp_path / 'images.parquet'}"]


def test_limit_on_a_split_that_is_ordered_by_class(ordered):
    for n in (1, 2, 3, 9, 10, 59, 60, 61):
        chosen = [find_dataset(name).load(limit=n) for name in ordered]
        for split in chosen:
            assert len(split) == min(n, 60)
            counts = np.bincount(split.y, minlength=CLASSES)
            assert counts.max() - counts.min() <= 1
            assert split.ids.tolist() == chosen[0].ids.tolist()
            assert torch.equal(split.x[:], PIXELS[split.ids])
            assert split.y.tolist() == [LABELS[i] for i in split.ids.tolist()]


def test_a_smaller_limit_is_part_of_a_larger_one_and_classes_are_in_proportion():
    labels = [0] * 50 + [1] * 20 + [2] * 7 + [3] * 3
    shares = np.bincount(labels) / len(labels)
    before: set[int] = set()
    for n in range(1, len(labels) + 1):
        rows = first_rows("mine", labels, n)
        assert before < set(rows)
        assert rows == sorted(rows)
        counts = np.bincount([labels[row] for row in rows], minlength=4)
        assert np.abs(counts - n * shares).max() < 1.5
        before = set(rows)
    assert first_rows("mine", labels, 20) != first_rows("other", labels, 20)


def test_classes_of_one_size_take_turns_in_an_order_of_their_own():
    labels = [at // 30 for at in range(30 * 26)]
    first = [labels[row] for row in first_rows("mine", labels, 26)]
    assert sorted(first) == list(range(26))
    few = {labels[row] for row in first_rows("mine", labels, 5)}
    assert len(few) == 5
    assert few != set(range(5))


def test_published_records_of_1000_of_10000_images_keep_their_ids():
    (record, *_) = read_file(data_root() / "results" / "cifar10-jpeg" / "pgdat.jsonl")
    rows = first_rows("cifar10-jpeg", [at // 1000 for at in range(10_000)], 1000)
    assert ids_sha256(np.array(rows)) == record.header.identity["data"]["ids"]


def test_rows_of_a_loader_are_those_of_a_split(digits):
    split = Split.checked("digits", digits.x[:], digits.y)
    for n in (1, 20, 539, 540, 541):
        assert first_rows("digits", split.y.tolist(), n) == split.first(n).ids.tolist()


def test_only_the_row_groups_of_chosen_images_are_read(ordered, monkeypatch):
    read = []
    original = pq.ParquetFile.read_row_group

    def watched(self, group, columns):
        read.append(group)
        return original(self, group, columns)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", watched)
    chosen = find_dataset(ordered[2]).load(limit=3)
    assert read == sorted({int(i) // 7 for i in chosen.ids})


def test_the_same_ids_for_every_network_and_seed_and_what_was_taken_is_said(cli, tmp_path):
    command = ("eval", "--attack", "fgsm", "--results", tmp_path)
    said = [
        cli(*command, "--model", model, word, 30, "--seed", seed)
        for model, word, seed in (("pgdat", "--limit", 0), ("standard", "--limit", 1), ("alp", "--sample", 0))
    ]
    assert all(each.code == 0 for each in said)
    for each in said:
        (line,) = [line for line in each.err.splitlines() if "30 of 540 images" in line]
        assert "every class in proportion, the same for every network" in line
    headers = [
        json.loads(pq.read_schema(path).metadata[b"robench"])["header"] for path in tmp_path.glob("raw/*/*/*.parquet")
    ]
    assert len(headers) == 3
    assert len({header["identity"]["data"]["ids"] for header in headers}) == 1


class Watched:
    """A published set that only says what it was asked for."""

    name, corruptions, family = "digits-c", ["fog"], COMMON

    def __init__(self, split):
        self.split, self.asked = split, []

    def load(self, corruption, severity, limit=None, ids=None):
        self.asked.append((limit, ids))
        return self.split.only(ids)

    def fingerprint(self, corruption, limit=None, ids=None):
        self.asked.append((limit, ids))
        return corruption

    def describe(self):
        return "planted"


def test_a_published_corrupted_set_shows_the_chosen_examples(digits):
    few = digits.first(20)
    found = Watched(digits)
    source = Published(found, few.ids.tolist())
    (view,) = source.views(few, "fog", 1, 0)
    assert torch.equal(view(torch.arange(20)), few.x[:])
    assert source.identity("fog")["files"] == "fog"
    assert found.asked == [(None, few.ids.tolist())] * 2


def test_chosen_images_of_imagenet_c_lie_in_their_class_folders(tmp_path):
    for severity in range(1, 6):
        for label in range(CLASSES):
            folder = tmp_path / "fog" / str(severity) / f"n{label}"
            folder.mkdir(parents=True)
            for at in range(2):
                Image.new("RGB", (224, 224), (label * 50, at * 50, 0)).save(folder / f"{at}.JPEG")
    found = imagenet_c.find(tmp_path, classes=CLASSES, per_class=2)
    few = found.load("fog", 1, ids=[1, 4])
    assert (few.ids.tolist(), few.y.tolist()) == ([1, 4], [0, 2])
    assert torch.equal(few.x[:], found.load("fog", 1).only([1, 4]).x[:])
    assert found.fingerprint("fog", ids=[1, 4]) != found.fingerprint("fog")
