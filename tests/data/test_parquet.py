"""Parquet files as datasets: as Hugging Face publishes them, in shards, or one sentence."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from robench import paths
from robench.data import find_dataset
from robench.data.class_names import CLASS_NAMES
from robench.data.described import described
from robench.data.reading import Reading
from robench.errors import InputError
from tests.support.images import FLOATS, LABELS, RAW, N, png


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv(paths.CACHE, str(tmp_path_factory.mktemp("cache")))


def table(image="image", label="label", images=None, labels=LABELS):
    images = [{"bytes": png(each), "path": "a.png"} for each in RAW] if images is None else images
    return pa.table({image: images, label: labels})


@pytest.mark.parametrize(("image", "label"), [("image", "label"), ("img", "fine_label")])
def test_parquet_as_it_is_published(tmp_path, image, label):
    pq.write_table(table(image, label), tmp_path / "data.parquet", row_group_size=5)
    data = find_dataset(f"parquet:{tmp_path / 'data.parquet'}")
    assert torch.equal(data.load().x[:], FLOATS)
    assert data.load().y.tolist() == LABELS.tolist()
    few = data.load(limit=7)
    assert len(few) == 7
    assert torch.equal(few.x[:], FLOATS[few.ids])


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (table(image="photo"), "none of image"),
        (table(label="animal"), "none of label"),
        (table(labels=[f"{each}" for each in LABELS]), "expected class numbers"),
        (table(labels=LABELS > 0), "expected class numbers, found bool"),
        (table(labels=LABELS / 2), r"row 1: 0\.5 is no whole number"),
        (table(labels=[float("inf")] * N), "row 0: inf is no class number"),
        (table(labels=LABELS - 1), "row 0: -1 is no class number"),
        (table(labels=[0] * (N - 1) + [None]), "row 11: None is no class number"),
        (table(images=[{"bytes": None, "path": "a.png"}] * N), "no image bytes"),
        (table(images=[b"<html>"] * N), "row 0' cannot be read"),
    ],
)
def test_parquet_that_does_not_fit_is_named(tmp_path, held, words):
    pq.write_table(held, tmp_path / "data.parquet")
    with pytest.raises(InputError, match=words):
        find_dataset(f"parquet:{tmp_path / 'data.parquet'}").load()


@pytest.fixture
def sharded(tmp_path):
    """Two shards of a test split and one file of a training split, in any order of time."""
    folder = tmp_path / "sharded"
    folder.mkdir()
    pq.write_table(table().slice(7), folder / "test-00001-of-00002.parquet")
    pq.write_table(table().slice(0, 7), folder / "test-00000-of-00002.parquet")
    pq.write_table(table().slice(0, 2), folder / "train-00000-of-00001.parquet")
    return folder


@pytest.mark.parametrize("place", ["", "test-00000-of-00002.parquet", "test-00001-of-00002.parquet"])
def test_shards_of_one_split_are_read_together(sharded, place):
    data = find_dataset(f"parquet:{sharded / place}")
    assert torch.equal(data.load().x[:], FLOATS)
    assert data.load().y.tolist() == LABELS.tolist()
    for n in (9, 2):
        few = data.load(limit=n)
        assert len(few) == n
        assert torch.equal(few.x[:], FLOATS[few.ids])
    assert f"{data.name}" == ("sharded" if not place else "test")
    assert "test-00000-of-00002.parquet and 1 other shards): 9 of 12 images" in described(data.load(limit=9))


def test_a_missing_shard_is_named(sharded):
    (sharded / "test-00000-of-00002.parquet").unlink()
    with pytest.raises(InputError, match=r"lacks test-00000-of-00002.parquet, shards of 'test-00001"):
        find_dataset(f"parquet:{sharded}").load()


def test_a_folder_without_a_split_to_evaluate_is_refused(sharded):
    for path in sharded.glob("test*"):
        path.unlink()
    with pytest.raises(InputError, match="has the splits train, none called test or validation"):
        find_dataset(f"parquet:{sharded}").load()
    (sharded / "train-00000-of-00001.parquet").unlink()
    with pytest.raises(InputError, match=r"holds no .parquet files"):
        find_dataset(f"parquet:{sharded}").load()


def test_class_names_of_hugging_face_are_matched(tmp_path):
    feature = {"label": {"names": ["dog", "ship", "cat"], "_type": "ClassLabel"}}
    held = table().replace_schema_metadata({"huggingface": json.dumps({"info": {"features": feature}})})
    pq.write_table(held, tmp_path / "data.parquet")
    name = f"parquet:{tmp_path / 'data.parquet'}"
    assert find_dataset(name).load().y.tolist() == LABELS.tolist()
    split = find_dataset(name, Reading(known=CLASS_NAMES["cifar10"])).load()
    assert split.y.tolist() == np.array([5, 8, 3])[LABELS].tolist()
    with pytest.raises(InputError, match="has the classes ship, which are not among the 2"):
        find_dataset(name, Reading(classes=("cat", "dog"))).load()


def test_torn_parquet_is_named(tmp_path):
    path = tmp_path / "data.parquet"
    pq.write_table(table(), path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(InputError, match="fetch it again"):
        find_dataset(f"parquet:{path}").load()
