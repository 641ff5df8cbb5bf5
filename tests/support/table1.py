"""Table 1 of the paper and its PGD, written anew in NumPy in float64, and small networks to hold beside it."""

from fractions import Fraction
from math import prod

import numpy as np
import torch
from torch import nn

from robench.classifiers import Classifier
from robench.classifiers.heads import make_head
from robench.specs import Head, Recipe
from robench.training.net import Net
from robench.training.perturb import Perturber
from tests.support.networks import CPU

MEAN, STD, SHAPE, FEATURES, CLASSES, EPS = 0.3, 0.6, (1, 3, 3), 5, 4, 0.15
HEADS = {  # scales at which float32 still tells the gradients of confident examples from rounding
    "linear": Head(),
    "he": Head(kind="he", scale=6, margin=0.2),
    "m_he": Head(kind="he", angular="arccos", scale=4, margin=0.1),
    "fn": Head(kind="he", wn=False),
    "wn": Head(kind="he", fn=False),
    "fn_wn": Head(kind="he", scale=6),
}
PAPER = {"alpha": 0.5, "weight": 0.5, "beta": 6.0}


class Linear(nn.Module):
    """Features A x + c."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(prod(SHAPE), FEATURES)
        self.features = FEATURES

    def forward(self, x):
        return self.map(x.flatten(1))


class Seen(nn.Module):
    """Passes images on to a network and remembers them."""

    def __init__(self, module):
        super().__init__()
        self.module, self.points = module, []

    def forward(self, x):
        self.points.append(x.detach().clone())
        return self.module(x)


class Given(Perturber):
    """In place of PGD: hands out fixed images and keeps what it was asked to increase."""

    steps, train_mode = 1, False

    def __init__(self, points):
        self.points = points

    def __call__(self, net, x, loss):
        self.loss = loss
        return self.points


def images(n=6, seed=1):
    """Images that touch both ends of [0, 1], and labels."""
    draws = torch.Generator().manual_seed(seed)
    x = (torch.rand(n, *SHAPE, generator=draws) * 1.4 - 0.2).clamp(0, 1)
    return x, torch.randint(CLASSES, (n,), generator=draws)


def network(spec, backbone=Linear, seed=0):
    torch.manual_seed(seed)
    inner = backbone()
    return Classifier(inner, make_head(spec, inner.features, CLASSES), [MEAN], [STD]).train()


def watched(model):
    seen = Seen(model)
    return Net(model, seen, "fp32", CPU), seen.points


def recipe(framework, norm="linf", **changes):
    one = {"steps": 1, "rel_step": "5/4"} if framework == "fast_at" else {"steps": 4, "rel_step": "1/3"}
    changes = {**one, "eps": str(EPS), "norm": norm, "epochs": 1, "batch_size": 6, "lr": 0.1, **changes}
    return Recipe(framework=framework, **changes)


def perturber(declared, seed=7):
    return Perturber.of(declared, torch.Generator().manual_seed(seed))


# ---- The paper's formulas in NumPy ----


def weights(model):
    return {key: value.double().numpy().copy() for key, value in model.state_dict().items()}


def unit(v):
    return v / np.sqrt((v**2).sum(1, keepdims=True))


def logits(w, spec, x):
    """W^T z + b, or the paper's Eq. (5) and Sec. 3.5."""
    z = ((np.asarray(x, float).reshape(len(x), -1) - MEAN) / STD) @ w["backbone.map.weight"].T + w["backbone.map.bias"]
    if spec.kind == "linear":
        return z @ w["head.weight"].T + w["head.bias"]
    out = (unit(z) if spec.fn else z) @ (unit(w["head.weight"]) if spec.wn else w["head.weight"]).T
    return -np.arccos(out) if spec.angular == "arccos" else out


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def ce(z, y, s, m):
    """Eq. (6) of each example."""
    return -np.log(softmax(s * (z - m * np.eye(CLASSES)[y]))[np.arange(len(y)), y])


def kl(clean, adversarial, s):
    p, q = softmax(s * clean), softmax(s * adversarial)
    return (p * np.log(p / q)).sum(1)


def minimised(framework, args, w, spec, y, x, points):
    """L_T."""
    c, s, m = {**PAPER, **args}, spec.scale, spec.margin
    clean, adversarial = logits(w, spec, x), logits(w, spec, points)
    if framework == "standard":
        return ce(clean, y, s, m).mean()
    if framework == "alp":
        pairing = ((clean - adversarial) ** 2).sum() / clean.size
        both = c["alpha"] * ce(clean, y, s, m).mean() + (1 - c["alpha"]) * ce(adversarial, y, s, m).mean()
        return both + c["weight"] * pairing
    if framework == "trades":
        return ce(clean, y, s, m).mean() + c["beta"] * kl(clean, adversarial, s).mean()
    return ce(adversarial, y, s, m).mean()


def maximised(framework, w, spec, y, x, points):
    """L_A of each example: the margin is not in it."""
    if framework == "trades":
        return kl(logits(w, spec, x), logits(w, spec, points), spec.scale)
    return ce(logits(w, spec, points), y, spec.scale, 0.0)


def projected(points, x, norm):
    delta = points - x
    if norm == "linf":
        return np.clip(x + np.clip(delta, -EPS, EPS), 0, 1)
    length = np.sqrt((delta**2).sum((1, 2, 3), keepdims=True))
    return np.clip(x + delta * EPS / np.maximum(EPS, length), 0, 1)


def slopes(loss, points, h=1e-6):
    """The gradient of each example's loss by central differences."""
    out = np.zeros_like(points)
    for at in np.ndindex(*SHAPE):
        step = np.zeros((1, *SHAPE))
        step[0, *at] = h
        out[:, *at] = (loss(points + step) - loss(points - step)) / (2 * h)
    return out


def pgd(loss, x, declared, seed=7):
    """Projected steepest ascent from a uniform point; the draws are those of a torch generator."""
    draws, rel = torch.Generator().manual_seed(seed), float(Fraction(declared.rel_step))
    if declared.norm == "linf":
        start = (2 * torch.rand(x.shape, generator=draws).double().numpy() - 1) * EPS
    else:
        radius = torch.rand(len(x), generator=draws).double().numpy() ** (1 / prod(SHAPE)) * EPS
        start = torch.randn(x.shape, generator=draws).double().numpy()
        start *= (radius / np.sqrt((start**2).sum((1, 2, 3))))[:, None, None, None]
    points = np.clip(x + start, 0, 1)
    for _ in range(declared.steps):
        g = slopes(loss, points)
        up = np.sign(g) if declared.norm == "linf" else g / np.sqrt((g**2).sum((1, 2, 3), keepdims=True))
        points = projected(points + rel * EPS * up, x, declared.norm)
    return points


def slope_of_weights(loss, w, along, h=1e-6):
    """The derivative of a function of the weights along a direction."""
    up, down = ({key: w[key] + sign * h * along[key] for key in w} for sign in (1, -1))
    return (loss(up) - loss(down)) / (2 * h)
