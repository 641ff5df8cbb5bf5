"""Small networks, and the device of every test."""

import torch
from torch import Tensor, nn

from robench.classifiers.classifier import Classifier
from robench.classifiers.heads import make_head
from robench.data.split import Split
from robench.specs import Head

CPU = torch.device("cpu")


class Linear(nn.Module):
    """Two classes: logits (0, w x + b); class 1 where w x + b > 0."""

    def __init__(self, w: Tensor, b: float) -> None:
        super().__init__()
        self.w = nn.Parameter(w.clone())
        self.b = b

    def forward(self, x: Tensor) -> Tensor:
        f = x.flatten(1) @ self.w + self.b
        return torch.stack([torch.zeros_like(f), f], 1)


def toy(seed: int = 0, head: str = "he"):
    """A random network with features, and 96 examples that it calls right."""
    torch.manual_seed(seed)
    backbone = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=2), nn.Flatten())
    spec = Head(kind="he", scale=15.0, margin=0.2) if head == "he" else Head(kind="linear")
    model = Classifier(backbone, make_head(spec, 48, 6), [0.0], [1.0]).eval()
    x = torch.rand(96, 1, 8, 8)
    y = model(x).argmax(1)
    assert len(y.unique()) > 2
    return model, Split.checked("toy", x, y)
