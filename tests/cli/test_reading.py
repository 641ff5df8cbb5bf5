"""`--resize auto`, the card's section `reading`, and class folders with the names of well-known datasets."""

import importlib
import json
import tomllib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file

from robench import paths
from robench.data import find_dataset
from robench.data.reading import Reading
from robench.store import Store, read
from tests.support.images import png

TIMM: Any = importlib.import_module("timm.data")
NAMES = ("n01440764", "n02102040", "n03888257")
"""Classes 0, 217 and 701 of ImageNet."""
INDICES = [0, 217, 701]
RUN = ("--attack", "fgsm", "--eps", "1/255")
SIDE = 24
RESNET = "timm:test_resnet"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Weights of a small network of timm, of linear networks, and images in class folders."""
    folder = tmp_path_factory.mktemp("place")
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet").state_dict(), folder / "timm.safetensors")
    (folder / "net.py").write_text(
        "import torch\nfrom torch import nn\n"
        + "".join(
            f"def make{n}():\n    torch.manual_seed(0)\n"
            f"    return nn.Sequential(nn.Flatten(), nn.Linear({3 * SIDE * SIDE}, {n}))\n"
            for n in (3, 5, 10, 1000)
        )
    )
    random = np.random.default_rng(0)
    for name in NAMES:
        (folder / "images" / name).mkdir(parents=True)
        for at in range(2):
            pixels = random.integers(0, 256, (SIDE, SIDE + 6, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / name / f"{at}.png")
    return folder


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(paths.CACHE, str(tmp_path_factory.mktemp("cache")))
        yield


def renamed(place, tmp_path, names):
    """The images again, in class folders with other names."""
    for old, new in zip(NAMES, names, strict=True):
        (tmp_path / "named").mkdir(exist_ok=True)
        (tmp_path / "named" / new).symlink_to(place / "images" / old)
    return tmp_path / "named"


def stored(folder):
    (path,) = Store(folder).paths()
    return read(path)


def linear(place, outputs):
    return "--model", f"{place / 'net.py'}:make{outputs}", "--crop", SIDE


def test_auto_from_eval_to_card_and_check(cli, place, tmp_path):
    own = ("--model", RESNET, "--weights", place / "timm.safetensors", "--resize", "auto")
    data = ("--dataset", f"folder:{place / 'images'}")
    said = cli("eval", *own, *data, *RUN, "--results", tmp_path / "r")
    assert said.code == 0, said.err
    assert f"resized as {RESNET} (input_size 3 x 160 x 160, interpolation bilinear, crop_pct 0.95" in said.err
    assert "6 images, 3 x 160 x 160" in said.err
    header, rows = stored(tmp_path / "r")
    assert sorted({*rows.label.tolist()}) == INDICES

    config = TIMM.resolve_model_data_config(timm.create_model("test_resnet"))
    theirs = TIMM.create_transform(**config | {"mean": (0, 0, 0), "std": (1, 1, 1)}, is_training=False)
    files = sorted((place / "images").rglob("*.png"))
    x = torch.stack([theirs(Image.open(file)) for file in files])
    loaded = find_dataset(f"folder:{place / 'images'}", Reading(RESNET)).load()
    assert torch.equal(loaded.x[:], x)

    made = cli("card", "init", *own, *data, "--name", "mine", "--out", tmp_path / "cards")
    assert made.code == 0, made.err
    card = tmp_path / "cards" / "images" / "mine"
    assert tomllib.loads((card / "card.toml").read_text())["reading"] == {"resize": RESNET}

    again = cli("eval", "--model", card, *data, *RUN, "--results", tmp_path / "again")
    assert again.code == 0, again.err
    assert stored(tmp_path / "again")[0].identity["data"] == header.identity["data"]
    check = ("check", "--model", card, *RUN, "--baseline", tmp_path / "b.jsonl")
    assert cli(*check, "--update").code == 0
    baseline = json.loads((tmp_path / "b.jsonl").read_text().splitlines()[0])
    assert baseline["identity"]["data"] == header.identity["data"]
    other = cli("eval", "--model", card, *data, *RUN, "--resize", 160, "--crop", 160, "--results", tmp_path / "other")
    assert other.code == 0, other.err
    assert "resize 160, crop 160" in other.err
    assert stored(tmp_path / "other")[0].identity["data"]["sha256"] != header.identity["data"]["sha256"]


@pytest.mark.parametrize(
    ("names", "note"),
    [(NAMES, "n01440764 to n15075141"), (("tench", "English_springer", "paintbrush"), "tench to toilet tissue")],
    ids=["ids", "words"],
)
def test_folders_by_imagenets_ids_or_words(cli, place, tmp_path, names, note):
    where = renamed(place, tmp_path, names)
    expected = INDICES if names == NAMES else [0, 217, 696]
    command = (*linear(place, 1000), "--dataset", f"folder:{where}", *RUN, "--results", tmp_path / "r")
    said = cli("eval", *command, "--target", names[1].replace("_", " "))
    assert said.code == 0, said.err
    assert f"labels by the 1,000 class names {note}" in said.err
    header, rows = stored(tmp_path / "r")
    assert sorted({*rows.label.tolist()}) == [expected[0], expected[2]]  # the target's images are left out
    assert header.target == "217"


def test_half_of_the_classes_of_cifar10_and_ten_outputs(cli, place, tmp_path):
    names = ("ship", "cat", "dog", "frog", "deer")
    for at, name in enumerate(names):
        (tmp_path / "few").mkdir(exist_ok=True)
        (tmp_path / "few" / name).symlink_to(place / "images" / NAMES[at % 3])
    for outputs, labels in ((10, [3, 4, 5, 6, 8]), (5, [0, 1, 2, 3, 4])):
        command = (*linear(place, outputs), "--dataset", f"folder:{tmp_path / 'few'}", *RUN)
        said = cli("eval", *command, "--results", tmp_path / str(outputs))
        assert said.code == 0, said.err
        assert sorted({*stored(tmp_path / str(outputs))[1].label.tolist()}) == labels
        assert ("class names airplane to truck" in said.err) is (outputs == 10)


def test_cats_and_dogs_alone_are_not_cifar10(cli, place, tmp_path):
    where = renamed(place, tmp_path, ("horse", "cat", "dog"))
    said = cli("eval", *linear(place, 10), "--dataset", f"folder:{where}", *RUN, "--results", tmp_path / "r")
    assert said.code == 2
    assert "has 3 classes, the network 10" in said.sentence
    assert "--classes FILE" in said.sentence


def test_a_folder_that_is_no_class_of_imagenet_is_named(cli, place, tmp_path):
    where = renamed(place, tmp_path, ("n01440764", "n02102040", "n00000001"))
    said = cli("eval", *linear(place, 1000), "--dataset", f"folder:{where}", *RUN, "--results", tmp_path / "r")
    assert said.code == 2
    assert "has the classes n00000001, which are not among the 1000 class names" in said.last


def test_parquet_that_names_a_few_classes_of_imagenet(cli, place, tmp_path):
    images = [{"bytes": png(np.full((SIDE, SIDE, 3), 40 * at, np.uint8)), "path": ""} for at in range(6)]
    table = pa.table({"image": images, "label": [0, 1, 2, 2, 1, 0]})
    features = json.dumps({"info": {"features": {"label": {"names": NAMES, "_type": "ClassLabel"}}}})
    pq.write_table(table.replace_schema_metadata({"huggingface": features}), tmp_path / "few.parquet")
    for outputs, labels in ((1000, INDICES), (3, [0, 1, 2])):
        command = (*linear(place, outputs), "--dataset", f"parquet:{tmp_path / 'few.parquet'}", *RUN)
        said = cli("eval", *command, "--results", tmp_path / str(outputs))
        assert said.code == 0, said.err
        assert sorted({*stored(tmp_path / str(outputs))[1].label.tolist()}) == labels


def test_a_card_keeps_sizes_and_class_names(cli, place, tmp_path):
    (tmp_path / "names.txt").write_text(f"{NAMES[2]}\n{NAMES[0]}\n{NAMES[1]}\n")
    own = (*linear(place, 3), "--resize", SIDE, "--classes", tmp_path / "names.txt")
    data = ("--dataset", f"folder:{place / 'images'}")
    assert cli("card", "init", *own, *data, "--name", "mine", "--out", tmp_path).code == 0
    card = tmp_path / "images" / "mine"
    reading = tomllib.loads((card / "card.toml").read_text())["reading"]
    assert reading == {"resize": SIDE, "crop": SIDE, "classes": [NAMES[2], NAMES[0], NAMES[1]]}
    text = (card / "card.toml").read_text()
    assert cli("card", "init", "--model", card, "--weights", card / "weights.safetensors", "--force").code == 0
    assert (card / "card.toml").read_text() == text
    for folder, more in (("a", own), ("b", ("--model", card))):
        said = cli("eval", *more, *data, *RUN, "--results", tmp_path / folder)
        assert said.code == 0, said.err
    (first, rows), (second, _) = stored(tmp_path / "a"), stored(tmp_path / "b")
    assert first.identity["data"] == second.identity["data"]
    assert rows.label.tolist() == [1, 1, 2, 2, 0, 0]
    np.savez(tmp_path / "x.npz", x=np.zeros((3, 3, SIDE, SIDE), np.float32), y=np.arange(3))
    assert (
        cli("eval", "--model", card, "--dataset", f"npz:{tmp_path / 'x.npz'}", *RUN, "--results", tmp_path / "c").code
        == 0
    )


REFUSED = {
    "a word": (("--resize", "big"), "--resize 'big' is no size"),
    "nothing": (("--resize", "timm:"), "--resize 'timm:' is no size"),
    "no library": (("--resize", "auto"), "--resize auto is for timm:NAME and torchvision:NAME"),
    "a crop beside": (("--resize", "timm:test_vit", "--crop", "8"), "leave --crop out"),
    "an unknown network": (("--resize", "timm:nope"), "timm declares no transform for it"),
    "zero": (("--resize", "0"), "--resize 0 must be at least 1"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(cli, place, tmp_path, what):
    options, sentence = REFUSED[what]
    model = linear(place, 3)[:2]
    command = (*model, "--dataset", f"folder:{place / 'images'}", *RUN, "--results", tmp_path / "r")
    said = cli("eval", *command, *options)
    assert said.code == 2
    assert sentence in said.sentence


def test_an_unsound_section_of_a_card_is_named(cli, place, tmp_path):
    assert cli("card", "init", *linear(place, 3), "--dataset", f"folder:{place / 'images'}", "--name", "mine",
               "--out", tmp_path).code == 0  # fmt: skip
    card = tmp_path / "images" / "mine" / "card.toml"
    card.write_text(card.read_text().replace("[reading]", '[reading]\nresize = "huge"'))
    said = cli("eval", "--model", card, *RUN, "--results", tmp_path / "r")
    assert said.code == 2
    assert f"card '{card}', section 'reading': --resize 'huge' is no size" in said.sentence
