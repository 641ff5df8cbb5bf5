"""A user's linear network of the digits in a file, its weights and images of the user, without training."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from robench.data.split import Split

CODE = """
from pathlib import Path

import torch
from torch import nn

with Path(__file__).with_name("runs.txt").open("a") as runs:
    runs.write("run\\n")


def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def trained():
    network = make()
    network.load_state_dict(torch.load(Path(__file__).with_name("w.pt")))
    return network
"""
N = 20
IDS = np.arange(N) * 3 + 100


def write(place: Path, digits: Split) -> None:
    """Write net.py, w.pt and data.npz with 20 digits, whose ids do not count from 0."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "net.py").write_text(CODE)
    torch.save(linear(digits).state_dict(), place / "w.pt")
    raw = (digits.x[:N] * 255).round().byte().numpy()
    np.savez(place / "data.npz", x=raw, y=digits.y[:N].numpy(), ids=IDS)


def linear(digits: Split) -> nn.Sequential:
    """Return the least-squares classifier of the digits, which has about one digit in twenty wrong."""
    x = np.concatenate([digits.x[:].flatten(1).numpy(), np.ones((len(digits), 1), np.float32)], axis=1)
    weights = np.linalg.lstsq(x, np.eye(10, dtype=np.float32)[digits.y.numpy()], rcond=None)[0]
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    network[1].weight.data, network[1].bias.data = torch.from_numpy(weights[:-1].T.copy()), torch.tensor(weights[-1])
    return network.eval()
