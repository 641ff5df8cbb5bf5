"""The embedded dataset: the same everywhere."""

import numpy as np
import pytest
import torch

from robench.data import digits as module
from robench.data import find_dataset
from robench.data.split import stratified
from robench.errors import InputError


def test_sizes_range_and_ids():
    from sklearn.datasets import load_digits  # takes two seconds

    train, test = find_dataset("digits").load("train"), find_dataset("digits").load("test")
    assert (len(train), len(test)) == (1257, 540)
    assert not set(train.ids.tolist()) & set(test.ids.tolist())
    assert train.x[:].min() == 0
    assert train.x[:].max() == 1
    images = load_digits().images
    place = 17
    np.testing.assert_array_equal(test.x[:][place, 0].numpy() * 16, images[test.ids[place]])


def test_scans_are_those_of_scikit_learn_wherever_it_keeps_them(monkeypatch):
    from sklearn.datasets import load_digits

    theirs = load_digits()
    for place in (module.SCANS, "elsewhere"):
        monkeypatch.setattr(module, "SCANS", place)
        for ours, expected in zip(module._scans.__wrapped__(), (theirs.images, theirs.target), strict=True):
            assert ours.dtype == expected.dtype
            np.testing.assert_array_equal(ours, expected)


def test_split_is_stratified():
    labels = module._scans()[1]
    test = find_dataset("digits").load("test")
    share = np.bincount(test.y, minlength=10) / np.bincount(labels, minlength=10)
    assert np.abs(share - 540 / 1797).max() < 0.01


def test_other_data_is_refused(monkeypatch):
    monkeypatch.setattr(module, "SHA256", {"train": "0" * 64, "test": "0" * 64})
    with pytest.raises(InputError, match="install an unmodified scikit-learn"):
        module.load("test")


def test_stratified_choice_does_not_depend_on_the_order_of_ids():
    labels = {i: i % 3 for i in range(100)}
    ids = list(range(100))
    assert stratified("s", labels, ids, 31) == stratified("s", labels, ids[::-1], 31)
    assert len(stratified("s", labels, ids, 31)) == 31


def test_held_out_examples_are_training_examples():
    train = find_dataset("digits").load("train")
    fit, held = train.stratified(157)
    assert (len(fit), len(held)) == (1100, 157)
    assert sorted(fit.ids.tolist() + held.ids.tolist()) == train.ids.tolist()
    assert torch.equal(torch.unique(held.y), torch.arange(10))
