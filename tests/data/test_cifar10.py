"""CIFAR-10's archive: read in its own order, or refused in one sentence."""

import hashlib
import pickle
from typing import Any

import numpy as np
import pytest

from robench.data import find_dataset
from robench.errors import InputError


def archive(folder, monkeypatch):
    """Batches as CIFAR-10's, four random images each, whose checksums torchvision is told."""
    from torchvision.datasets import CIFAR10

    draws, base, pixels, labels = np.random.default_rng(0), folder / CIFAR10.base_folder, [], []
    base.mkdir()

    def write(name, content):
        (base / name).write_bytes(pickle.dumps(content))
        return [name, hashlib.md5((base / name).read_bytes()).hexdigest()]

    def batch(name):
        pixels.append(draws.integers(0, 256, (4, 3072), dtype=np.uint8))
        labels.append(draws.integers(0, 10, 4).tolist())
        return write(name, {"data": pixels[-1], "labels": labels[-1]})

    monkeypatch.setattr(CIFAR10, "train_list", [batch(f"data_batch_{i}") for i in range(1, 6)])
    monkeypatch.setattr(CIFAR10, "test_list", [batch("test_batch")])
    meta, checksum = write("batches.meta", {"label_names": [str(i) for i in range(10)]})
    monkeypatch.setattr(CIFAR10, "meta", {"filename": meta, "key": "label_names", "md5": checksum})
    return base, np.concatenate(pixels).reshape(-1, 3, 32, 32), np.concatenate(labels)


def test_cifar10_in_its_own_order(tmp_path, monkeypatch):
    base, pixels, labels = archive(tmp_path, monkeypatch)
    parts: list[tuple[Any, slice]] = [("train", slice(0, 20)), ("test", slice(20, 24))]
    for part, rows in parts:
        split = find_dataset("cifar10").load(part, tmp_path)
        np.testing.assert_array_equal(split.x[:].numpy(), pixels[rows].astype(np.float32) / 255)
        assert split.y.tolist() == labels[rows].tolist()
    np.testing.assert_array_equal(
        find_dataset("cifar10").images(np.array([2, 0]), tmp_path), pixels[[22, 20]].astype(np.float32) / 255
    )
    path = base / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=r"^cifar10 is not in '[^\n]*' or is damaged: [^\n]*--data-dir\.$"):
        find_dataset("cifar10").load("train", tmp_path)


def test_missing_cifar10_is_refused_in_one_sentence(tmp_path):
    with pytest.raises(InputError, match=r"^cifar10 is not in '[^\n]*' or is damaged: [^\n]*--data-dir\.$"):
        find_dataset("cifar10").load("test", tmp_path)
