"""Networks that write into their input, change themselves, look at the batch, or answer in other forms."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import robench
from robench.classifiers.frozen import frozen_network
from robench.data import digits
from robench.errors import InputError
from robench.specs import AttackSpec, find_attack
from tests.support.marks import slow


def short(name: str, **settings: Any) -> AttackSpec:
    """Return an attack of the registry with fewer steps."""
    return find_attack(name).model_copy(update=settings)


NES = find_attack("nes-20").params | {"directions": 16}
ATTACKS = [find_attack("pgd-10"), short("nes-20", steps=2, params=NES)]
N = 12
EPS = 0.12
"""At this eps, PGD breaks some of the examples and leaves others."""


Change = Callable[[Tensor], Any]


def same(tensor: Tensor) -> Tensor:
    return tensor


class Wrapped(nn.Module):
    """A defense of the registry between functions of its input and of its logits."""

    def __init__(self, before: Change = same, after: Change = same) -> None:
        super().__init__()
        self.inner, self.before, self.after = robench.load_model("pgdat"), before, after
        self.eval()

    def forward(self, x: Tensor) -> Any:
        return self.after(self.inner(self.before(x)))


def scaled_hidden(x: Tensor) -> Tensor:
    x.data.mul_(0.5)
    return x


def rounded_hidden(x: Tensor) -> Tensor:
    with torch.no_grad():
        x.mul_(8).round_().div_(8)
    return x


def clamped_hidden(x: Tensor) -> Tensor:
    x.data.clamp_(0.2, 0.8)
    return x


IN_PLACE = {
    "seen by autograd": (lambda x: x.sub_(0.5).mul_(0.5), lambda x: (x - 0.5) * 0.5),
    "hidden, scaled": (scaled_hidden, lambda x: x + (x * 0.5 - x).detach()),
    "hidden, rounded": (rounded_hidden, lambda x: x + ((x * 8).round() / 8 - x).detach()),
    "hidden, clamped": (clamped_hidden, lambda x: x + (x.clamp(0.2, 0.8) - x).detach()),
}


@pytest.fixture(scope="module")
def examples() -> tuple[Tensor, Tensor]:
    split = digits.load("test")
    return split.x[:N].clone(), split.y[:N].clone()


@pytest.fixture(scope="module")
def plain_verdicts(examples):
    found = verdicts(Wrapped(), *examples)
    assert 0 < found[0].sum() < N
    return found


def verdicts(network: nn.Module, x: Tensor, y: Tensor, **options: Any) -> np.ndarray:
    """Return for each attack the verdict on each example, (A, N)."""
    done = robench.evaluate(network, x, y, **{"eps": EPS, "attacks": ATTACKS, "device": "cpu", **options})
    return np.stack([result.record.robust for result in done.results])


@pytest.mark.filterwarnings("ignore:the worst case is broken:UserWarning")  # rounding has no gradient of its own
@pytest.mark.parametrize(
    "kind", ["seen by autograd", "hidden, rounded", *map(slow, ("hidden, scaled", "hidden, clamped"))]
)
def test_writing_into_the_input_changes_no_verdict(kind, examples):
    x, y = examples
    spoiling, plain = (Wrapped(before) for before in IN_PLACE[kind])
    kept = x.clone()
    assert np.array_equal(verdicts(spoiling, x, y), verdicts(plain, x, y))
    assert torch.equal(x, kept)


class Counting(nn.Module):
    """A network whose passes change a buffer, by assignment or in place, and an attribute."""

    calls: Tensor

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.inner, self.in_place, self.passes = Wrapped(), in_place, 0
        self.register_buffer("calls", torch.ones(1))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        if self.in_place:
            self.calls.mul_(1.0 + 1e-5)
        else:
            self.calls = self.calls * (1.0 + 1e-5)
        logits: Tensor = self.inner(x * self.calls)
        return logits


@pytest.mark.parametrize("in_place", [True, False])
def test_every_pass_begins_with_the_same_network(in_place, examples):
    x, y = examples
    network = Counting(in_place)
    buffer = network.calls
    fixed = Wrapped(lambda x: x * (torch.ones(1) * (1.0 + 1e-5)))
    assert np.array_equal(verdicts(network, x, y), verdicts(fixed, x, y))
    assert network.calls is buffer
    assert network.calls.item() == 1.0
    assert network.passes == 0


class Drifting(Counting):
    def forward(self, x: Tensor) -> Tensor:
        self.calls.data.mul_(1.0 + 1e-7)
        return self.inner(x * self.calls)


def test_hidden_changes_of_a_network_are_refused(examples):
    network = Drifting(True)
    with pytest.raises(InputError, match=r"changes the buffer 'calls' of Drifting through \.data"):
        verdicts(network, *examples)
    assert network.calls.item() == 1.0


BATCH = {
    "mean of the batch": lambda z: z - z.mean(0),
    "largest of the batch": lambda z: z / z.abs().max(),
    "nearest neighbour": lambda z: z + z.roll(1, 0),
    "deviation of the batch": lambda z: z / z.std(0, correction=0),
}


@pytest.mark.parametrize("kind", BATCH)
@pytest.mark.parametrize("batch_size", [None, 7])
def test_answers_that_depend_on_the_batch_are_refused(kind, batch_size, examples):
    with pytest.raises(InputError, match="depend on the other images of the batch"):
        verdicts(Wrapped(after=BATCH[kind]), *examples, batch_size=batch_size)


def test_a_fixed_batch_is_named(examples):
    with pytest.raises(InputError, match=f"takes {N} images at once, but not fewer"):
        verdicts(Wrapped(lambda x: x.reshape(N, 1, 8, 8)), *examples)


class Output(dict[str, Tensor]):
    """Like the outputs of Hugging Face's networks: a mapping with attributes."""

    @property
    def logits(self) -> Tensor:
        return self["logits"]


FORMS = {
    "attribute": (lambda z: SimpleNamespace(loss=None, logits=z), "the attribute 'logits' of its SimpleNamespace"),
    "mapping with attributes": (lambda z: Output(logits=z), "the attribute 'logits' of its Output"),
    "dictionary": (lambda z: {"features": z[:, :2], "logits": z}, "the value of 'logits'"),
    "tuple": (lambda z: (z, {"loss": 0.0}), "the first of 2 values"),
    "tuple of logits": (lambda z: (z, z + 1.0), "the first of 2 values"),
    "list": (lambda z: [z], "the first of 1 values"),
}


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_found_in_other_answers(form, examples, plain_verdicts):
    after, said = FORMS[form]
    network = Wrapped(after=after)
    with frozen_network(network, torch.device("cpu")) as frozen:
        assert said in frozen.place_of_logits(examples[0][:1])
    with pytest.warns(UserWarning, match=re.escape(said)):
        found = verdicts(network, *examples, attacks=ATTACKS[:1])
    assert np.array_equal(found, plain_verdicts[:1])


def test_features_before_the_logits_are_not_taken_for_them(examples):
    with pytest.raises(InputError, match=r"several values that may be the logits, of shapes \(12, 3\), \(12, 10\)"):
        verdicts(Wrapped(after=lambda z: (z[:, :3], z)), *examples)


ERRORS = (
    AssertionError("height 8 does not match 224"),
    IndexError("a"),
    KeyError("b"),
    AttributeError(),
    ZeroDivisionError(),
)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_any_error_of_the_first_pass_is_one_sentence(error, examples):
    def fail(x: Tensor) -> Tensor:
        raise error

    with pytest.raises(InputError, match="the network cannot take") as caught:
        verdicts(Wrapped(fail), *examples)
    assert (str(error) or type(error).__name__) in str(caught.value)
    assert "\n" not in str(caught.value)


def masked(z: Tensor) -> Tensor:
    return torch.cat([z, torch.full_like(z[:, :2], -torch.inf)], 1)


RIVALS = {
    "pgd-10": {},
    "apgd-dlr": {"steps": 30},
    "apgd-t": {"steps": 10},
    "deepfool": {},
    "fab": {"steps": 20, "restarts": 1},
    "fab-t": {"steps": 10, "restarts": 1},
    "square-inner": {"steps": 150},
    "cascade": {},
}
SOME = {"pgd-10", "apgd-t"}


@pytest.mark.parametrize("attack", [*sorted(SOME), *map(slow, sorted(RIVALS.keys() - SOME))])
def test_a_masked_class_is_no_rival(attack, examples):
    x, y = examples
    options: dict[str, Any] = {"eps": EPS, "attacks": [short(attack, **RIVALS[attack])], "device": "cpu"}
    plain, more = (robench.evaluate(network, x, y, **options) for network in (Wrapped(), Wrapped(after=masked)))
    assert (plain.results[0].record.clean == more.results[0].record.clean).all()
    assert abs(plain[attack].robust_accuracy - more[attack].robust_accuracy) <= 100 / N


@pytest.mark.parametrize("kind", ["random", "batch"])
def test_a_masked_class_hides_no_fault(kind, examples):
    def faulty(z: Tensor) -> Tensor:
        return masked(z + 0.4 * torch.rand_like(z) if kind == "random" else z - z.mean(0))

    with pytest.raises(InputError, match=r"answers differently twice|depend on the other images"):
        verdicts(Wrapped(after=faulty), *examples)


def test_all_classes_masked_is_refused(examples):
    with pytest.raises(InputError, match="NaN or infinite logits"):
        verdicts(Wrapped(after=lambda z: torch.full_like(z, -torch.inf)), *examples)


# ---- Compiled networks ----


def by_torch_compile(network: nn.Module, backend: Any) -> nn.Module:
    return cast(nn.Module, torch.compile(network, backend=backend))


def in_place(network: nn.Module, backend: Any) -> nn.Module:
    network.compile(backend=backend)
    return network


def inside(network: nn.Module, backend: Any) -> nn.Module:
    return nn.Sequential(nn.Identity(), by_torch_compile(network, backend)).eval()


@pytest.mark.parametrize("compiled", [by_torch_compile, in_place, inside])
def test_a_compiled_network_is_not_compiled_again_for_every_batch(compiled, examples, plain_verdicts):
    graphs = []

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    network = compiled(Wrapped(), backend)
    with pytest.warns(UserWarning, match="runs uncompiled here"):
        found = verdicts(network, *examples)
    assert np.array_equal(found, plain_verdicts)
    assert not graphs
    with torch.no_grad():
        network(examples[0])
    assert graphs, "outside an evaluation the network is compiled"
