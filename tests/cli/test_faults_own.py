"""Bad data, labels, weights and networks of one's own, on the command line: exit code and one sentence.

The numbers are those of the list of faults.
"""

from typing import Any

import numpy as np
import pytest
import torch

RANDOM = np.random.default_rng(0)
X = RANDOM.random((12, 1, 4, 4), dtype=np.float32)
NETWORK = """
import torch
from torch import nn
from torch.nn import functional as F


class Network(nn.Module):
    def __init__(self, classes=4):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, 16, generator=torch.Generator().manual_seed(0)))

    def forward(self, x):
        logits = x.flatten(1) @ self.weight.T
        return {answer}


def make_model():
    return Network({classes})
"""


def network(answer="logits", classes=4):
    return NETWORK.format(answer=answer, classes=classes)


def labels_of(folder):
    """What the network says, so that there is something to attack."""
    weight = torch.randn(4, 16, generator=torch.Generator().manual_seed(0))
    return (torch.tensor(X).flatten(1) @ weight.T).argmax(1).numpy()


def refused(cli, folder, text, *options, x=X, y=None, weights=None):
    """Evaluate; the exit code is 2, nothing is on standard output, and one sentence is on standard error."""
    (folder / "net.py").write_text(text)
    np.savez(folder / "data.npz", x=x, y=labels_of(folder) if y is None else y)
    if weights is not None:
        weights(folder / "w.pt")
        options = (*options, "--weights", folder / "w.pt")
    said = cli("eval", "--model", f"{folder / 'net.py'}:make_model", "--dataset", f"npz:{folder / 'data.npz'}",
               "--eps", "0.1", "--attack", "pgd-20", "--results", folder / "r", *options)  # fmt: skip
    assert (said.code, said.out) == (2, "")
    return said.sentence


def test_the_network_itself_is_fit(cli, tmp_path):
    (tmp_path / "net.py").write_text(network())
    np.savez(tmp_path / "data.npz", x=X, y=labels_of(tmp_path))
    said = cli("eval", "--model", f"{tmp_path / 'net.py'}:make_model", "--dataset", f"npz:{tmp_path / 'data.npz'}",
               "--eps", "0.1", "--attack", "pgd-20", "--results", tmp_path / "r")  # fmt: skip
    assert said.code == 0
    assert "100.00% clean" in said.out


NETWORKS = {
    "3: NaN logits": (network("logits * float('nan')"), "NaN or infinite logits"),
    "3: infinite logits": (network("logits + float('inf')"), "NaN or infinite logits"),
    "3: one value an image": (network("logits[:, 0]"), "(12,)"),
    "3: a dictionary without logits": (network("dict(scores=logits)"), "returns dict"),
    "3: a row too few": (network("logits[:-1]"), "(11, 4)"),
    "4: dice": (network("logits + torch.randn_like(logits)"), "answers differently twice"),
    "4: dropout that is always on": (network("F.dropout(logits, 0.5, training=True)"), "answers differently twice"),
    "5: no gradient": (network("logits.detach()"), "gives no gradient"),
    "6: another size": (network("logits").replace("16,", "25,"), "cannot take torch.float32 images of shape (1, 4, 4)"),
    "6: labels beyond the network": (network(classes=2), "beyond the network's 2 classes"),
}


@pytest.mark.parametrize("what", NETWORKS)
def test_networks(cli, tmp_path, what):
    text, words = NETWORKS[what]
    assert words in refused(cli, tmp_path, text)


DATA: dict[str, tuple[dict[str, Any], str]] = {
    "6: below 0": ({"x": X - 0.5}, "pixels lie in [-0."),
    "6: floats up to 255": ({"x": X * 255}, "divide by 255"),
    "6: integers that are no bytes": ({"x": (X * 255).astype(np.int64)}, "divide by 255"),
    "6: NaN pixels": ({"x": np.where(X > 0.5, np.nan, X)}, "NaN"),
    "6: two axes": ({"x": X.reshape(12, 16)}, "expected (N, C, H, W)"),
    "6: labels are fractions": ({"y": np.full(12, 0.5)}, "no whole number"),
    "6: labels are several": ({"y": np.ones((12, 4), dtype=np.int64)}, "not one-hot"),
    "6: labels are negative": ({"y": np.full(12, -1)}, "label -1 is negative"),
    "6: labels are out of range": ({"y": np.full(12, 9)}, "label 9 is beyond"),
    "6: labels of another length": ({"y": np.zeros(11, dtype=np.int64)}, "11"),
    "6: nothing": ({"x": X[:0], "y": np.zeros(0, dtype=np.int64)}, "no examples"),
    "8: objects": ({"x": np.array([{}] * 12, dtype=object)}, "object"),
}


@pytest.mark.parametrize("what", DATA)
def test_data(cli, tmp_path, what):
    held, words = DATA[what]
    assert words in refused(cli, tmp_path, network(), **held)


class Code:
    def __reduce__(self):
        return print, ("ran",)


WEIGHTS = {
    "1: a pickle that carries code": (lambda path: torch.save({"weight": Code()}, path), "could run code"),
    "2: an HTML page": (lambda path: path.write_text("<!doctype html><title>404</title>"), "HTML page"),
    "2: truncated": (
        lambda path: (torch.save({"weight": torch.zeros(4, 16)}, path), path.write_bytes(path.read_bytes()[:200])),
        "cannot be read",
    ),
    "2: nothing in it": (lambda path: path.write_bytes(b""), "cannot be read"),
    "2: keys that do not fit": (
        lambda path: torch.save({f"layer{at}.weight": torch.zeros(1) for at in range(5)}, path),
        "1 missing (weight); 5 unexpected (layer0.weight, layer1.weight, layer2.weight, ...)",
    ),
    "2: a shape that does not fit": (
        lambda path: torch.save({"weight": torch.zeros(4, 9)}, path), "1 of another shape (weight is 4x9, not 4x16)"
    ),
    "2: no tensors": (lambda path: torch.save({"epoch": 3}, path), "no tensors by name"),
    "2: not there": (lambda path: None, "no such file"),
}  # fmt: skip


@pytest.mark.parametrize("what", WEIGHTS)
def test_weights(cli, tmp_path, what):
    write, words = WEIGHTS[what]
    assert words in refused(cli, tmp_path, network(), weights=write)


def test_no_correct_example_is_no_error(cli, tmp_path):
    (tmp_path / "net.py").write_text(network())
    np.savez(tmp_path / "data.npz", x=X, y=(labels_of(tmp_path) + 1) % 4)
    said = cli("eval", "--model", f"{tmp_path / 'net.py'}:make_model", "--dataset", f"npz:{tmp_path / 'data.npz'}",
               "--eps", "0.1", "--attack", "pgd-20", "--results", tmp_path / "r")  # fmt: skip
    assert said.code == 0
    assert "0.00% clean" in said.out


def test_fewer_classes_than_an_attack_needs_skips_it(cli, tmp_path):
    (tmp_path / "net.py").write_text(network(classes=2))
    np.savez(tmp_path / "data.npz", x=X, y=labels_of(tmp_path) % 2)
    said = cli("eval", "--model", f"{tmp_path / 'net.py'}:make_model", "--dataset", f"npz:{tmp_path / 'data.npz'}",
               "--eps", "0.1", "--attack", "apgd-dlr", "--attack", "fgsm", "--results", tmp_path / "r")  # fmt: skip
    assert said.code == 0
    assert "apgd-dlr: skipped, apgd needs at least" in said.err
