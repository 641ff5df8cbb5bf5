"""Shipped gradients: the values of a network stay bit for bit, its parts without gradient get one."""

import io

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import functional as images

import robench
from robench.classifiers.backward import GRADIENTS
from robench.classifiers.backward.carrying import WithGradients
from robench.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:The image decoding:DeprecationWarning")
X = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.05
THRESHOLDS, LEVELS = torch.arange(16) / 16, torch.linspace(0, 1, 16)


class Part(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def gradient(function, name, x=X):
    """The gradient of the sum under a shipped gradient; the values are those of the function alone."""
    with torch.no_grad():
        expected = function(x.clone())
    leaf = x.clone().requires_grad_()
    found = WithGradients(Part(function), name)(leaf.clone())
    assert torch.equal(found, expected)
    (slope,) = torch.autograd.grad(found.sum(), leaf)
    return slope


def hidden(context, function):
    def inside(x):
        with context():
            return function(x)

    return inside


def rounded(x):
    return torch.round(x * 15) / 15


def torchvision_jpeg(x):
    encoded = [torchvision.io.encode_jpeg(each, 75) for each in (x * 255).round().to(torch.uint8)]
    return torch.stack([torchvision.io.decode_jpeg(each) for each in encoded]).float() / 255


def pil_jpeg(x):
    found = []
    with torch.no_grad():
        for each in x.cpu():
            file = io.BytesIO()
            images.to_pil_image(each).save(file, "JPEG", quality=75)
            found.append(images.to_tensor(Image.open(file)))
    return torch.stack(found)


def grey_jpeg(x):
    """Images of one channel, which PIL holds without an axis for it."""
    file = io.BytesIO()
    images.to_pil_image(x[0, :1]).save(file, "JPEG")
    return images.to_tensor(Image.open(file))[None]


def one_by_one(x):
    found = torch.zeros_like(x, dtype=torch.uint8)
    for at, each in enumerate((x.detach().permute(0, 2, 3, 1).numpy() * 255).astype(np.uint8)):
        found[at] = torch.as_tensor(each).permute(2, 0, 1)
    return found / 255


def stacked(x):
    return torch.from_numpy(np.stack([np.round(each.detach().numpy() * 7) / 7 for each in x]))


STRAIGHT = {
    "round": ("rounding", rounded),
    "round_ in place": ("rounding", lambda x: x.mul_(15).round_().div_(15)),
    "under no_grad": ("rounding", hidden(torch.no_grad, rounded)),
    "under inference_mode": ("rounding", hidden(torch.inference_mode, rounded)),
    "detached": ("rounding", lambda x: rounded(x.detach())),
    "exported operator": ("rounding", lambda x: torch.ops.aten.round.default(x * 15) / 15),
    "bytes": ("rounding", lambda x: (x * 255).to(torch.uint8).float() / 255),
    "whole numbers divided": ("rounding", lambda x: ((x * 255).byte() // 16 * 16).float() / 255),
    "bits shifted": ("rounding", lambda x: (((x * 255).byte() >> 4) << 4) / 255),
    "bits masked": ("rounding", lambda x: ((x * 255).byte() & 0xF0).float() / 255),
    "//": ("rounding", lambda x: (x // 0.1) * 0.1),
    "%": ("rounding", lambda x: x - x % 0.1),
    "rounding_mode": ("rounding", lambda x: torch.div(x, 0.1, rounding_mode="floor") * 0.1),
    "one-hot code of a level": ("rounding", lambda x: F.one_hot((x * 15).round().long(), 16).float() @ LEVELS),
    "table of levels": ("rounding", lambda x: LEVELS[(x * 15).round().long()]),
    "embedding": ("rounding", lambda x: F.embedding((x * 15).round().long(), LEVELS[:, None]).squeeze(-1)),
    "JPEG of torchvision": ("jpeg", torchvision_jpeg),
    "JPEG of PIL": ("jpeg", pil_jpeg),
    "NumPy": ("jpeg", lambda x: torch.from_numpy(np.round(x.detach().numpy() * 15) / 15)),
    "NumPy, images back one by one": ("jpeg", one_by_one),
    "NumPy, images back together": ("jpeg", stacked),
}


@pytest.mark.parametrize("kind", STRAIGHT)
def test_rounding_and_codecs_pass_the_gradient_straight_through(kind):
    name, function = STRAIGHT[kind]
    assert gradient(function, name).sub(1).abs().max() < 1e-5


def test_a_grey_image_keeps_its_gradient():
    slope = gradient(grey_jpeg, "jpeg")
    assert slope[0, 0].sub(1).abs().max() < 1e-5
    assert not slope[1:].any()


def code(z):
    return torch.zeros_like(z).scatter(-1, z.argmax(-1, keepdim=True), 1.0)


SMOOTH = {
    "thermometer": ("thermometer", lambda x: (x[..., None] > THRESHOLDS).float().mean(-1)),
    "threshold by threshold": ("thermometer", lambda x: sum((x > each).float() for each in THRESHOLDS.tolist()) / 16),
    "torch.where": ("thermometer", lambda x: torch.where(x[..., None] > THRESHOLDS, 1.0, 0.0).mean(-1)),
    "keywords": ("thermometer", lambda x: torch.gt(input=x[..., None], other=THRESHOLDS).float().mean(-1)),
    "below": ("thermometer", lambda x: 1 - (x[..., None] <= THRESHOLDS).float().mean(-1)),
    "number of thresholds": ("thermometer", lambda x: (x[..., None] > THRESHOLDS).sum(-1) / 16),
    "bucketize": ("thermometer", lambda x: torch.bucketize(x, THRESHOLDS) / 16),
    "cumulated one-hot code": (
        "thermometer", lambda x: F.one_hot((x * 15).long(), 16).flip(-1).cumsum(-1).float().mean(-1),
    ),
    "nearest level": ("argmax", lambda x: F.one_hot((x[..., None] - LEVELS).abs().argmin(-1), 16).float() @ LEVELS),
    "table of the nearest": ("argmax", lambda x: LEVELS[torch.argmin((x[..., None] - LEVELS) ** 2, dim=-1)]),
    "indices of max": ("argmax", lambda x: LEVELS[torch.max(-((x[..., None] - LEVELS) ** 2), -1).indices]),
    "scattered": ("argmax", lambda x: code(-(x[..., None] - LEVELS).abs()) @ LEVELS),
}  # fmt: skip


@pytest.mark.parametrize("kind", SMOOTH)
def test_levels_made_by_comparisons_have_the_slope_of_what_they_round(kind):
    """The parts round to 16 levels, so the slope of a smooth version is 1 on average."""
    name, function = SMOOTH[kind]
    slope = gradient(function, name)
    assert slope.min() > 0.4
    assert abs(slope.mean() - 1) < 0.08


def test_a_gradient_that_is_there_stays():
    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return rounded(x)

        @staticmethod
        def backward(ctx, slope):
            return 3 * slope

    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(196, 5)).eval()
    x = X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(network(x).sum(), x)
    for name in GRADIENTS.names():
        assert gradient(Own.apply, name).sub(3).abs().max() < 1e-6
        assert torch.equal(gradient(network, name), expected)
        assert gradient(lambda x: x + (rounded(x) - x).detach(), name).sub(1).abs().max() < 1e-5


def test_an_image_that_stays_away_costs_only_its_gradient():
    def thumbnail(x):
        small = np.ascontiguousarray(x.detach().numpy()[..., ::2])
        return torch.from_numpy(small) + x[..., ::2]

    slope = gradient(thumbnail, "jpeg")
    assert slope[..., ::2].sub(1).abs().max() < 1e-5
    assert not slope[..., 1::2].any()


def test_straight_through_keeps_the_values_of_a_part():
    x = X.clone().requires_grad_()
    with pytest.raises(InputError, match=r"straight_through\(part, smooth\)"):
        robench.straight_through(lambda x: x[:, :1])(x)
    for smooth, slope in ((None, 1.0), (lambda x: 3 * x, 3.0)):
        found = robench.straight_through(rounded, smooth)(x)
        assert torch.equal(found, rounded(X))
        assert torch.equal(torch.autograd.grad(found.sum(), x)[0], torch.full_like(X, slope))
