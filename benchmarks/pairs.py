"""A task of a hundred classes that needs no download: two of scikit-learn's digits side by side, read as one number.

    python -m benchmarks.pairs FILE        trains a network under attack, in two minutes, and writes its weights

An image is 8 x 16; both digits come from the same part of the embedded dataset: no scan of the test part is trained on.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from robench.classifiers.architectures.convnet import ConvNet
from robench.classifiers.classifier import Classifier
from robench.classifiers.heads import make_head
from robench.data import Part, find_dataset
from robench.specs import Head, ThreatModel

NAME, CLASSES, THREAT = "pairs/pgdat", 100, ThreatModel.parse("linf", "0.1")
UPDATES, BATCH, STEPS, RATE = 1000, 128, 3, 3e-3
"""Of the training: updates of the weights, images and PGD's steps for each, largest learning rate."""


def network() -> Classifier:
    """Without weights."""
    return Classifier(
        ConvNet((1, 8, 16), (16, 32, 48), (1, 2, 2), 128), make_head(Head(kind="linear"), 128, CLASSES), [0.3], [0.4]
    )


def pairs(part: Part, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (n, 1, 8, 16) and labels 10 a + b of random pairs (a, b)."""
    split, generator = find_dataset("digits").load(part), torch.Generator().manual_seed(seed)
    left, right = torch.randint(len(split), (2, n), generator=generator)
    return torch.cat([split.x[left], split.x[right]], 3), 10 * split.y[left] + split.y[right]


def train(seed: int = 0) -> Classifier:
    """PGD-AT, its learning rate rising and falling along a line."""
    torch.manual_seed(seed)
    model = network()
    adam = torch.optim.Adam(model.parameters())
    x, y = pairs("train", UPDATES * BATCH, seed)
    for k in range(UPDATES):
        adam.param_groups[0]["lr"] = RATE * min(k / (0.3 * UPDATES), (UPDATES - k) / (0.7 * UPDATES))
        images, labels = x[k * BATCH : (k + 1) * BATCH], y[k * BATCH : (k + 1) * BATCH]
        points = attacked(model, images, labels)
        adam.zero_grad()
        F.cross_entropy(model(points), labels).backward()
        adam.step()
    return model.eval()


def attacked(model: Classifier, x: Tensor, y: Tensor) -> Tensor:
    """PGD from a uniform start, steps of eps / 2."""
    eps = THREAT.eps
    points = (x + eps * (2 * torch.rand_like(x) - 1)).clamp(0, 1)
    for _ in range(STEPS):
        points.requires_grad_()
        (slope,) = torch.autograd.grad(F.cross_entropy(model(points), y), points)
        moved = points.detach() + eps / 2 * slope.sign()
        points = torch.minimum(torch.maximum(moved, x - eps), x + eps).clamp(0, 1)
    return points


def load(path: Path) -> Classifier:
    """The network of a file; it is trained first if there is no such file."""
    model = network()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(train().state_dict(), path)
    model.load_state_dict(load_file(path))
    return model.eval()


def main() -> None:
    """Train, and say how well the network does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load(options.path)
    x, y = pairs("test", 1000, 1)
    torch.manual_seed(0)
    right = [100 * float((model(points).argmax(1) == y).float().mean()) for points in (x, attacked(model, x, y))]
    print(f"{NAME}: {right[0]:.1f}% clean, {right[1]:.1f}% under {STEPS} steps of PGD at {THREAT}")


if __name__ == "__main__":
    main()
