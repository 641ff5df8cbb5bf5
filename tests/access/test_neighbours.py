"""A network whose answers depend on the other images of the batch is refused; rounding is no dependence."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import robench
from robench.access.judge import Judge
from robench.access.microbatches import MicroBatcher
from robench.classifiers import load_model
from robench.classifiers.frozen import frozen_network
from robench.errors import InputError
from tests.support.networks import CPU
from tests.support.toys import Toy, X, Y, refusal

SAID = "depend on the other images of the batch"


class Normed(nn.Module):
    """Batch norm that trains inside a network in eval mode."""

    def __init__(self, momentum: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.momentum, self.first, self.last = momentum, nn.Linear(16, 8), nn.Linear(8, 4)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        z = self.first(x.flatten(1))
        if len(x) > 1:
            z = F.batch_norm(z, None, None, training=True)
        answer: Tensor = self.last(z)
        return answer


def sorted_rows(z: Tensor, x: Tensor) -> Tensor:
    """A batch that is put into an order and not put back."""
    return z[x.flatten(1).sum(1).argsort()]


def loudest(z: Tensor, x: Tensor) -> Tensor:
    """A change of one class by the brightest image of the batch alone."""
    return torch.cat([z[:, :1] + 0.01 * x.amax(), z[:, 1:]], 1)


def only_one(z: Tensor, x: Tensor) -> Tensor:
    """Two answers change places."""
    return torch.cat([z[:1] + 0.1 * z[1:2], z[1:]]) if len(z) > 1 else z


DEPENDENT = {
    "mean of the batch": lambda z, x: z - z.mean(0),
    "a small part of the mean": lambda z, x: z - 0.001 * z.mean(0),
    "mean beside a bias": lambda z, x: z - z.mean(0) + 1e5,
    "next image": lambda z, x: z + 0.1 * z.roll(1, 0),
    "image after the next": lambda z, x: z + 0.1 * z.roll(2, 0),
    "order of brightness": sorted_rows,
    "brightest pixel of the batch": loudest,
    "softmax over the batch": lambda z, x: z.softmax(0),
    "first image of the batch": lambda z, x: z + z[:1],
    "one image": only_one,
    "rank in the batch": lambda z, x: z + 0.1 * (z.argsort(0).argsort(0)),
    "size of the batch": lambda z, x: z / len(z),
}


def clean(network: nn.Module, x: Tensor, batch_size: int = 32) -> Judge:
    """Run the clean pass with its checks."""
    with frozen_network(network.eval(), CPU) as frozen:
        judge = Judge(frozen, MicroBatcher(batch_size))
        judge.clean(x, torch.zeros(len(x), dtype=torch.int64), torch.arange(len(x)))
    return judge


@pytest.mark.parametrize("n", [1, 2, 12])
@pytest.mark.parametrize("kind", DEPENDENT)
def test_dependence_on_other_images_is_refused(kind, n):
    with pytest.raises(InputError, match=SAID):
        clean(Toy(DEPENDENT[kind]), X[:n])


@pytest.mark.parametrize("n", [1, 12])
def test_statistics_of_the_batch_are_refused(n):
    with pytest.raises(InputError, match=SAID):
        clean(Normed(0.1), X[:n])


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning", "ignore:.*torch.jit:FutureWarning")
def test_a_program_is_asked_the_same():
    program = torch.jit.trace(Toy(DEPENDENT["mean of the batch"]), X)
    with pytest.raises(InputError, match=SAID):
        clean(program, X)


class Low(nn.Module):
    """A defense in arithmetic of another type between float32 images and logits."""

    def __init__(self, kind: torch.dtype) -> None:
        super().__init__()
        self.kind, self.network = kind, load_model("digits/pgdat").to(kind)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.network(x.to(self.kind)).float()
        return answer


class Levels(nn.Module):
    """A defense whose features are rounded, which makes jumps of rounding errors."""

    def __init__(self) -> None:
        super().__init__()
        self.network: Any = load_model("digits/pgdat")

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.network.features(x)
        answer: Tensor = self.network.head((features * 64).round() / 64)
        return answer


HONEST = {
    "large logits": lambda: Toy(lambda z, x: 1e6 * z),
    "a bias": lambda: Toy(lambda z, x: z + 1e5),
    "masked classes": lambda: Toy(lambda z, x: z.masked_fill(torch.arange(4) == 2, -torch.inf)),
    "differences of large numbers": lambda: Toy(lambda z, x: (z + 1e4) - 1e4),
    "bfloat16": lambda: Low(torch.bfloat16),
    "float16": lambda: Low(torch.float16),
    "float64": lambda: Low(torch.float64),
    "rounded features": Levels,
    "a defense": lambda: load_model("digits/pgdat_he"),
}


@pytest.mark.parametrize("n", [1, 3, 40])
@pytest.mark.parametrize("kind", HONEST)
def test_rounding_is_no_dependence(kind, n, digits):
    network = HONEST[kind]()
    x = torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(2)) if isinstance(network, Toy) else digits.x[:n]
    judge = clean(network, x)
    assert judge.forwards <= 2 * n + 50  # the question, its repetition, and the checks


def test_the_sentence_names_the_mend():
    said = refusal(Toy(DEPENDENT["mean of the batch"]))
    assert SAID in said
    assert "batch norm in eval mode" in said


@pytest.mark.parametrize("n", [1, 12])
def test_a_service_is_asked_no_more_than_twice(n):
    seen = []

    def scores(images: Tensor) -> Tensor:
        seen.append(len(images))
        return Toy()(images).detach()

    clean(robench.Service(scores, "toy"), X[:n])
    assert sum(seen) == 2 * n + (n == 1)


@pytest.mark.parametrize("n", [1, 12])
@pytest.mark.parametrize("kind", ["mean of the batch", "next image", "softmax over the batch"])
def test_a_service_that_depends_on_the_batch_is_refused(kind, n):
    with pytest.raises(InputError, match=SAID):
        clean(robench.Service(lambda images: Toy(DEPENDENT[kind])(images).detach(), "toy"), X[:n])


def test_a_service_of_labels_that_depend_on_the_batch_is_refused():
    service = robench.Service(lambda images: Toy(DEPENDENT["mean of the batch"])(images).argmax(1), "toy", classes=4)
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    with pytest.raises(InputError, match=SAID):
        clean(service, x)


def test_a_random_service_is_called_random():
    service = robench.Service(lambda images: torch.rand(len(images), 4), "toy")
    with pytest.raises(InputError, match="differently twice"):
        robench.evaluate(service, X, Y, attacks=["square"], eps=0.1, max_queries=10)


class Scaled(nn.Module):
    """A network whose input is scaled by extremes of the batch."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind, self.network = kind, load_model("pgdat")

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "largest value":
            x = x / x.amax()
        elif self.kind == "range":
            x = (x - x.amin()) / (x.amax() - x.amin())
        else:
            scale = x.abs().amax() / 7
            x = (x / scale).round() * scale
        answer: Tensor = self.network(x)
        return answer


@pytest.mark.parametrize("kind", ["largest value", "range", "rounding to its range"])
def test_an_input_scaled_by_extremes_of_the_batch_is_refused(kind, digits):
    with pytest.raises(InputError, match=SAID):
        clean(Scaled(kind), digits.x[:12])
