"""Crops and mirror images."""

from itertools import product

import numpy as np
import torch

from robench.training.augment import crop_flip
from tests.support.trained import apart, refusal, run, weights


def crops_of(image):
    """Every crop of one image padded with 4 zeros a side, and its mirror image, by (top, left, flip)."""
    channels, height, width = image.shape
    padded = np.zeros((channels, height + 8, width + 8), np.float32)
    padded[:, 4:-4, 4:-4] = image
    for top, left in product(range(9), range(9)):
        crop = padded[:, top : top + height, left : left + width]
        yield (top, left, False), crop
        yield (top, left, True), crop[:, :, ::-1]


def test_crop_flip_is_a_crop_of_each_image_with_draws_of_its_own():
    """Every example is one of the crops that a loop makes of it; all offsets occur, on their own and evenly."""
    n, draws = 300, torch.Generator().manual_seed(3)
    x = torch.rand(n, 2, 6, 7, generator=draws) + 0.1
    before = x.clone()
    out = crop_flip(x, draws)
    assert torch.equal(x, before)
    assert out.shape == x.shape
    found = []
    for image, have in zip(x.numpy(), out.numpy(), strict=True):
        (one,) = [drawn for drawn, crop in crops_of(image) if np.array_equal(crop, have)]
        found.append(one)
    tops, lefts, flips = (np.array(each) for each in zip(*found, strict=True))
    assert len(set(found)) > 100
    for offsets in (tops, lefts):
        counts = np.bincount(offsets, minlength=9)
        assert counts.shape == (9,)
        assert counts.min() > 10
        assert counts.max() < 70
    assert 100 < flips.sum() < 200
    assert abs(np.corrcoef(tops, lefts)[0, 1]) < 0.25
    assert abs(np.corrcoef(lefts, flips)[0, 1]) < 0.25


def test_crop_flip_follows_its_generator():
    x = torch.rand(20, 1, 8, 8)
    a, b, c = (crop_flip(x, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_augmented_training_differs_and_the_wrong_augmentation_is_refused(tmp_path):
    run(tmp_path / "plain")
    run(tmp_path / "augmented", {"recipe.augment": "crop_flip"})
    assert apart(weights(tmp_path / "plain"), weights(tmp_path / "augmented")) > 1e-3
    said = refusal(tmp_path / "files", {"recipe.augment": "resized_crop_flip"})
    assert "key 'augment': 'digits' is augmented by none, crop_flip" in said
