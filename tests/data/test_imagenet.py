"""Image folders as ImageNet's: read, trained on, or refused in one sentence."""

from itertools import product

import numpy as np
import pytest
import torch
from PIL import Image

from robench.classifiers import load_card
from robench.data import find_dataset
from robench.errors import InputError
from robench.specs import read_card
from tests.support.trained import run


@pytest.fixture
def tree(tmp_path):
    """Three classes of random pictures: eight to train on, two to test on, of many sizes."""
    draws = np.random.default_rng(0)
    for part, n in (("train", 8), ("val", 2)):
        for label, i in product(range(3), range(n)):
            folder = tmp_path / "data" / part / f"n0{label}"
            folder.mkdir(parents=True, exist_ok=True)
            size = (256, 256) if part == "val" and i == 0 else (40 + 9 * i, 50 - 3 * label)
            Image.fromarray(draws.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / f"{i}.JPEG", quality=90)
    return tmp_path / "data"


IMAGENET = {
    "dataset": "imagenet", "architecture.name": "torchvision_resnet", "architecture.args": {"name": "resnet18"},
    "input.mean": [0.485, 0.456, 0.406], "input.std": [0.229, 0.224, 0.225], "recipe.augment": "resized_crop_flip",
    "recipe.batch_size": 4, "recipe.epochs": 1, "recipe.schedule": "constant", "recipe.eps": "4/255",
    "recipe.holdout": 6,
}  # fmt: skip


@pytest.mark.slow
def test_image_folders_train_a_resnet(tmp_path, tree):
    (epoch,) = run(tmp_path / "card", IMAGENET, data_dir=tree)
    assert 0 <= epoch.clean_accuracy <= 100
    model = load_card(read_card(tmp_path / "card"))
    assert model.head.weight.shape == (1000, 512)
    assert model.backbone.bn1.num_batches_tracked == -(-(24 - 6) // 4), "the held-out pictures are not trained on"
    test = find_dataset("imagenet").load("test", tree)
    with torch.no_grad():
        assert model(test.x[:2]).shape == (2, 1000)


@pytest.mark.slow
def test_image_folders_train_without_held_out_pictures(tmp_path, tree):
    (epoch,) = run(tmp_path / "card", {**IMAGENET, "recipe.holdout": 0}, data_dir=tree)
    assert np.isnan(epoch.clean_accuracy)


def test_test_pictures_are_resized_and_cropped(tree):
    test = find_dataset("imagenet").load("test", tree)
    assert test.x.shape == (6, 3, 224, 224)
    assert test.y.tolist() == [0, 0, 1, 1, 2, 2]
    picture = np.asarray(Image.open(tree / "val" / "n01" / "0.JPEG"), np.float32) / 255
    np.testing.assert_array_equal(test.x[2].numpy(), picture[16:240, 16:240].transpose(2, 0, 1))
    assert find_dataset("imagenet").load("test", tree, limit=3).y.tolist() == [0, 1, 2]
    some = np.array([4, 1])
    np.testing.assert_array_equal(find_dataset("imagenet").images(some, tree), test.x[some].numpy())
    with pytest.raises(InputError, match="no test example 6"):
        find_dataset("imagenet").images(np.array([6]), tree)


def test_missing_or_damaged_pictures_are_refused_in_one_sentence(tmp_path, tree):
    with pytest.raises(InputError, match=r"^ImageNet is not in '[^\n]*val/<class>/\*\.JPEG there[^\n]*--data-dir\.$"):
        find_dataset("imagenet").load("test", tmp_path)
    with pytest.raises(InputError, match=r"--limit -1 must be at least 1"):
        find_dataset("imagenet").load("test", tree, limit=-1)
    (tree / "val" / "n02" / "1.JPEG").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"^[^\n]*1\.JPEG[^\n]*\.$"):
        find_dataset("imagenet").load("test", tree)
