"""Folders as users have them: what is read, what is left out and said, what is refused in one sentence."""

import os
import shutil

import numpy as np
import pytest
from PIL import Image

from robench.data import decode, find_dataset
from robench.data.class_names import CIFAR100, read_class_names
from robench.data.described import described
from robench.data.reading import Reading
from robench.errors import InputError

SHADES = {"cat": 10, "dog": 20, "ship": 30}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv(decode.CACHE, str(tmp_path_factory.mktemp("cache")))


def save(path, shade, size=(6, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 0, 0)).save(path)


@pytest.fixture
def mine(tmp_path):
    for name, shade in SHADES.items():
        for at in range(2):
            save(tmp_path / "mine" / name / f"{at}.png", shade + at)
    return tmp_path / "mine"


def load(folder, **reading):
    return find_dataset(f"folder:{folder}", Reading(**reading)).load()


def shades(split):
    return (split.x[:][:, 0, 0, 0] * 255).round().int().tolist()


def mac(folder):
    save(folder / "__MACOSX" / "cat" / "._0.png", 1)
    (folder / "cat" / "._1.png").write_bytes(b"resource fork")
    (folder / ".git").mkdir()
    (folder / "Thumbs.db").write_bytes(b"")
    save(folder / "dog" / ".thumbnails" / "0.png", 1)


def test_macosx_hidden_files_and_folders_are_skipped_and_said(mine):
    before = load(mine)
    mac(mine)
    after = load(mine)
    assert after.sha256 == before.sha256
    assert after.y.tolist() == [0, 0, 1, 1, 2, 2]
    assert "left out: 5 hidden files or folders (._1.png)" in described(after)


def test_an_empty_class_folder_is_named(mine):
    (mine / "bird").mkdir()
    with pytest.raises(InputError, match=r"class folders without images, bird: take them out"):
        load(mine)
    names = ("airplane", "bird", "cat", "dog", "ship")
    assert load(mine, known=names).y.tolist() == [2, 2, 3, 3, 4, 4]


def test_images_in_subfolders_of_a_class_folder_are_read(mine):
    for name in SHADES:
        (mine / name / "images").mkdir()
        shutil.move(mine / name / "1.png", mine / name / "images" / "1.png")
    split = load(mine)
    assert shades(split) == [10, 11, 20, 21, 30, 31]
    assert split.y.tolist() == [0, 0, 1, 1, 2, 2]


def test_links_in_a_circle_are_read_once(mine):
    (mine / "cat" / "again").symlink_to(mine / "cat")
    assert shades(load(mine)) == [10, 11, 20, 21, 30, 31]


def test_formats_that_are_not_read_are_counted_and_named(mine):
    for name in ("2.gif", "3.gif", "notes.txt"):
        (mine / "cat" / name).write_bytes(b"")
    save(mine / "loose.png", 1)
    said = described(load(mine))
    assert "6 images, 3 x 8 x 6; 3 classes; values 0 to 0.122" in said
    assert "left out: files that are not read (2 .gif, 1 .txt)" in said
    assert "1 images outside the class folders" in said


def test_a_dangling_link_is_one_sentence(mine):
    (mine / "cat" / "2.png").symlink_to(mine / "nowhere.png")
    with pytest.raises(InputError, match=r"2.png' cannot be read \(No such file.*\): restore it or take it out"):
        load(mine)


def test_a_pipe_among_the_images_is_one_sentence(mine):
    os.mkfifo(mine / "cat" / "2.png")
    with pytest.raises(InputError, match=r"2.png' is no file"):
        load(mine)


@pytest.fixture
def tiny(tmp_path):
    """Tiny-ImageNet's layout: wnids out of order, val/ with annotations, test/ without labels."""
    root = tmp_path / "tiny-imagenet-200"
    for at, name in enumerate(("n02", "n01", "n03")):
        save(root / "train" / name / "images" / f"{name}_0.JPEG", at)
        save(root / "test" / "images" / f"test_{at}.png", at)
    lines = [("val_0.png", "n03", 30), ("val_1.png", "n01", 10), ("val_2.png", "n01", 11)]
    for name, _, shade in lines:
        save(root / "val" / "images" / name, shade)
    text = "".join(f"{name}\t{wnid}\t0\t0\t62\t62\n" for name, wnid, _ in lines)
    (root / "val" / "val_annotations.txt").write_text(text)
    (root / "wnids.txt").write_text("n02\nn01\nn03\n")
    return root


@pytest.mark.parametrize("part", ["", "val"])
def test_tiny_imagenet_is_read_by_its_annotation_file(tiny, part):
    split = load(tiny / part)
    assert shades(split) == [30, 10, 11]
    assert split.y.tolist() == [2, 0, 0]
    assert (split.about.by_order, "whose images have no labels" in described(split)) == (3, part == "")


def test_the_training_part_of_tiny_imagenet_has_the_same_classes(tiny):
    assert find_dataset(f"folder:{tiny}").load("train").y.tolist() == [0, 1, 2]


def test_a_part_without_labels_is_refused(tiny):
    with pytest.raises(InputError, match="test' holds images without labels"):
        load(tiny / "test")
    shutil.rmtree(tiny / "val")
    with pytest.raises(InputError, match="test' holds images without labels"):
        load(tiny)


def test_annotations_that_do_not_fit_are_named(tiny):
    save(tiny / "val" / "images" / "val_9.png", 1)
    with pytest.raises(InputError, match=r"val_9.png' has no line"):
        load(tiny)
    (tiny / "val" / "val_annotations.txt").write_text("one word\n")
    with pytest.raises(InputError, match="line 1: expected image name"):
        load(tiny)


def test_a_folder_with_a_training_part_alone_is_refused(mine, tmp_path):
    (tmp_path / "other").mkdir()
    shutil.move(mine, tmp_path / "other" / "train")
    with pytest.raises(InputError, match="has no test part, only train"):
        load(tmp_path / "other")


# ---- Class names ----

CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def test_three_of_ten_classes_get_the_labels_of_the_dataset(mine):
    split = load(mine, known=tuple(CIFAR))
    assert split.y.tolist() == [3, 3, 5, 5, 8, 8]
    assert split.about.by_order is None


def test_class_names_come_from_a_file(mine, tmp_path):
    (tmp_path / "names.txt").write_text("Ship\n\nCAT\nowl\ndog\n")
    assert load(mine, classes=read_class_names(tmp_path / "names.txt")).y.tolist() == [1, 1, 3, 3, 0, 0]
    (mine / "dog").rename(mine / "Lawn mower")
    with pytest.raises(InputError, match="has the classes Lawn mower, which are not among the 4 class names"):
        load(mine, classes=read_class_names(tmp_path / "names.txt"))
    shutil.rmtree(mine / "cat")
    (mine / "ship").rename(mine / "seal")
    assert load(mine, known=CIFAR100).y.tolist() == [CIFAR100.index("lawn_mower")] * 2 + [CIFAR100.index("seal")] * 2


@pytest.mark.parametrize(
    ("text", "words"),
    [("", "is empty"), ("a\nb\nA\n", "names 'A' twice"), (None, "cannot be read"), (b"\xff\xfe", "cannot be read")],
)
def test_files_of_class_names_that_do_not_fit_are_named(tmp_path, text, words):
    if text is not None:
        (tmp_path / "names.txt").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=words):
        read_class_names(tmp_path / "names.txt")


def test_names_of_which_only_some_fit_are_refused(mine):
    (mine / "ship").rename(mine / "boat")
    with pytest.raises(InputError, match=r"has the classes boat, which .* 10 class names airplane to truck"):
        load(mine, known=tuple(CIFAR))


def test_names_of_which_none_fits_leave_the_order(mine):
    split = load(mine, known=("a", "b", "c"))
    assert (split.y.tolist(), split.about.by_order) == ([0, 0, 1, 1, 2, 2], 3)


def test_numbers_out_of_their_order_are_said(tmp_path):
    for name in ("1", "2", "10"):
        save(tmp_path / "mine" / name / "0.png", int(name))
    split = load(tmp_path / "mine")
    assert shades(split) == [1, 10, 2]
    assert "alphabetical order of 3 classes, 1, 10, 2, ..., not of their values" in described(split)


# ---- Sizes ----


def test_resize_and_crop_are_those_of_torchvision(mine):
    from torchvision.transforms import functional

    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    for name in SHADES:
        shutil.rmtree(mine / name)
        (mine / name).mkdir()
        Image.fromarray(noise).save(mine / name / "0.png")
    split = load(mine, resize=16, crop=12)
    expected = functional.center_crop(functional.resize(Image.fromarray(noise), 16), [12, 12])
    assert np.array_equal(split.x[0].permute(1, 2, 0).numpy() * 255, np.asarray(expected, np.float32))
    assert split.sha256 != load(mine).sha256
    assert "resize 16, crop 12" in described(split)
    with pytest.raises(InputError, match=r"0.png' is 12x16, below --crop 13: add --resize 13"):
        load(mine, resize=12, crop=13)
    with pytest.raises(InputError, match="--resize 0 must be at least 1"):
        load(mine, resize=0)
