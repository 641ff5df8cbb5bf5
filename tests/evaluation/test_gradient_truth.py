"""A gradient that tells a part of the truth is found by random directions; honest networks are not accused."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import robench
from robench.classifiers import load_model
from robench.specs import diagnostics, list_models
from tests.support.marks import slow
from tests.support.toys import Toy

pytestmark = pytest.mark.filterwarnings("ignore:the worst case is broken:UserWarning")
BOUND = diagnostics()["false-gradients"].above
SMALL = 20
"""Few enough examples for the small probe."""


def found(network, split, n=SMALL, **options):
    """The diagnostics of one step of PGD, and the passes of the probe."""
    options = {"eps": "0.2", "attacks": ["pgd-1"], **options}
    x = split.x[:n]
    header = robench.evaluate(network.eval(), x, network(x).argmax(1), **options).results[0].record.header
    return header.diagnostics, header.probe_forwards


class Within(nn.Module):
    """A defense behind a change of its input or beside another function."""

    def __init__(self, change, beside=None, name="standard"):
        super().__init__()
        self.network, self.change, self.beside = load_model(f"digits/{name}").eval(), change, beside

    def forward(self, x):
        z = self.network(self.change(x))
        return z if self.beside is None else z + self.beside(x)


def through(kept):
    """Pass the gradient only where `kept` is 1."""
    return lambda x: kept * x + (1 - kept) * x.detach()


def pixels(share):
    mask = (torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < share).float()
    return through(mask)


def rows(x):
    return torch.cat([x[:, :, :3], x[:, :, 3:].detach()], 2)


def mean(x):
    return x.detach() + (x.mean((1, 2, 3), keepdim=True) - x.mean((1, 2, 3), keepdim=True).detach())


def blurred(x):
    smooth = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="replicate"), 5, 1)
    return x.detach() + smooth - smooth.detach()


def swapped(x):
    turned = x.flip(3)
    return x.detach() + turned - turned.detach()


def clipped(x):
    """The gradient dies where a pixel is dark or bright."""
    return torch.where((x > 0.4) & (x < 0.6), x, x.detach())


def hidden(name):
    network = load_model(f"digits/{name}").eval()

    def logits(x):
        with torch.no_grad():
            return network(x)

    return logits


def noise_of_input(x):
    """A term without gradient that changes quickly with the image: shattered logits."""
    return 3 * torch.sin(400 * x.detach().flatten(1)[:, :10])


MASKED = {
    "16 of 64 pixels": lambda: Within(pixels(0.25)),
    "3 of 8 rows": lambda: Within(rows),
    "mean intensity only": lambda: Within(mean),
    "gradient of a blurred image": lambda: Within(blurred),
    "gradient of the mirrored image": lambda: Within(swapped),
    "gradient of middle grey only": lambda: Within(clipped),
    "standard under no_grad beside a robust member": lambda: Within(nn.Identity(), hidden("standard"), "pgdat"),
    "a quick term without gradient": lambda: Within(nn.Identity(), noise_of_input),
    "only the last block": lambda: Detached("conv"),
    "alternating sign": lambda: Within(through(torch.tensor([1.0, -1.0]).repeat(32).view(1, 1, 8, 8))),
}


class Detached(nn.Module):
    """A random network of two branches, the louder one detached."""

    def __init__(self, _):
        super().__init__()
        torch.manual_seed(0)
        self.shown, self.hidden = nn.Linear(64, 10), nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))

    def forward(self, x):
        return self.shown(x.flatten(1)) + 4 * self.hidden(x.flatten(1).detach())


@pytest.mark.parametrize("kind", MASKED)
def test_a_gradient_that_lacks_a_part_is_broken(kind, digits):
    indicators, passes = found(MASKED[kind](), digits)
    assert indicators["false-gradients"] > BOUND
    assert passes <= 250


def k_winners(z):
    kept = z.topk(8, dim=1).indices
    return z * torch.zeros_like(z).scatter(1, kept, 1.0)


def net(activation, pool=F.avg_pool2d):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.conv, self.first, self.last = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(128, 32), nn.Linear(32, 10)

        def forward(self, x):
            z = pool(torch.relu(self.conv(x)), 2).flatten(1)
            return self.last(activation(self.first(z)))

    return Net()


class Only32(nn.Module):
    """A network that casts its input to float32, so that it cannot run in float64."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x.float())


class OwnError(Exception):
    """An error that no library knows."""


class Insists(Only32):
    def forward(self, x):
        if x.dtype != torch.float32:
            raise OwnError
        return self.network(x)


class Inside16(Only32):
    """Arithmetic in bfloat16 between float32 images and logits."""

    def forward(self, x):
        return self.network.bfloat16()(x.bfloat16()).float()


class PoolFirst(nn.Module):
    """Maxima over windows of equal pixels: most of a digit's background."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10)
        )

    def forward(self, x):
        return self.layers(x)


class Half(Only32):
    def forward(self, x):
        with torch.autocast("cpu", torch.bfloat16):
            return self.network(x)


class Double(Only32):
    def forward(self, x):
        return self.network.double()(x.double())


class Biased(Only32):
    def forward(self, x):
        return self.network(x) + self.network(0 * x[:1]).new_tensor(1e5)


class Straight(torch.autograd.Function):
    """Some levels; the gradient passes straight through."""

    @staticmethod
    def forward(ctx, x, levels):
        return (levels * x).round() / levels

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


HONEST = {
    "GELU": lambda: net(F.gelu),
    "SiLU": lambda: net(F.silu),
    "k-winners": lambda: net(k_winners),
    "max-pooling": lambda: net(torch.relu, F.max_pool2d),
    "tanh": lambda: net(torch.tanh),
    "float32 only": lambda: Only32(load_model("digits/pgdat")),
    "an error of its own": lambda: Insists(load_model("digits/pgdat")),
    "bfloat16 inside": lambda: Inside16(net(torch.relu)),
    "maxima of equal pixels": PoolFirst,
    "float64": lambda: Double(load_model("digits/pgdat")),
    "bfloat16": lambda: Half(load_model("digits/pgdat")),
    "bias of the logits": lambda: Biased(load_model("digits/pgdat")),
    "bias, float32 only": lambda: Only32(Biased(load_model("digits/pgdat"))),
    "straight-through rounding to 8 levels": lambda: Within(lambda x: Straight.apply(x, 8), name="pgdat"),
    "straight-through rounding to 16 levels": lambda: Within(lambda x: Straight.apply(x, 16), name="standard"),
    "straight-through rounding to 255 levels": lambda: Within(lambda x: Straight.apply(x, 255), name="pgdat"),
    "TorchScript": lambda: torch.jit.script(net(torch.relu)),
}


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("kind", HONEST)
def test_an_honest_network_is_not_accused(kind, digits):
    indicators, passes = found(HONEST[kind](), digits)
    assert indicators["false-gradients"] <= BOUND
    assert passes <= 250


EVERY = [name for name in list_models() if name.startswith("digits/")]


@pytest.mark.parametrize("name", [EVERY[0], *map(slow, EVERY[1:])])
@pytest.mark.parametrize(("norm", "eps"), [("linf", "0.2"), ("linf", "0.001"), ("linf", "0.8"), ("l2", "0.5")])
def test_registered_defenses_are_not_accused(name, norm, eps, digits):
    indicators, _ = found(load_model(name), digits, 60 if norm == "l2" else SMALL, norm=norm, eps=eps)
    assert indicators["false-gradients"] == 0


def test_a_constant_gap_has_no_false_gradient(digits):
    """A flat network has nothing that a gradient could miss."""
    flat = Toy(lambda logits, x: logits * 0 + torch.tensor([2.0, 1, 0, 0]))
    x = torch.rand(6, 1, 4, 4)
    header = robench.evaluate(flat, x, flat(x).argmax(1), eps=0.1, attacks=["pgd-1"]).results[0].record.header
    assert header.diagnostics["false-gradients"] == 0
