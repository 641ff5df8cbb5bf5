"""A property of every network: in any wrapping it gets the verdicts of the plain network, and nothing of it changes.

Networks are generated: layers, activations in place or not, what a pass writes into its input and into its buffers, and
the form in which the network is handed over.
"""

import warnings
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import robench
from tests.support.marks import slow
from tests.support.programs import quietly

N, SIZE, CLASSES = 6, 6, 4
ACTIVATIONS = {
    "relu": nn.ReLU,
    "relu in place": lambda: nn.ReLU(inplace=True),
    "silu in place": lambda: nn.SiLU(inplace=True),
    "gelu": nn.GELU,
    "hardtanh in place": lambda: nn.Hardtanh(-2.0, 2.0, inplace=True),
}
WRITES = ("nothing", "seen", "hidden")
BUFFERS = ("none", "counted in place", "counted by assignment", "drifting")


@dataclass(frozen=True)
class Plan:
    """A generated network."""

    channels: int
    width: int
    activation: str
    norm: bool
    pool: bool
    dropout: bool
    writes: str
    buffers: str
    seed: int


PLANS = st.builds(
    Plan,
    channels=st.sampled_from([1, 3]),
    width=st.integers(2, 5),
    activation=st.sampled_from(sorted(ACTIVATIONS)),
    norm=st.booleans(),
    pool=st.booleans(),
    dropout=st.booleans(),
    writes=st.sampled_from(WRITES),
    buffers=st.sampled_from(BUFFERS),
    seed=st.integers(0, 50),
)


class Body(nn.Module):
    """The network of a plan; with `clean`, the same function without a write into the input and without buffers."""

    calls: Tensor

    def __init__(self, plan: Plan, clean: bool) -> None:
        super().__init__()
        torch.manual_seed(plan.seed)
        side = SIZE // 2 if plan.pool else SIZE
        layers = [
            nn.Conv2d(plan.channels, plan.width, 3, padding=1),
            nn.BatchNorm2d(plan.width) if plan.norm else nn.Identity(),
            ACTIVATIONS[plan.activation](),
            nn.AvgPool2d(2) if plan.pool else nn.Identity(),
            nn.Dropout(0.5) if plan.dropout else nn.Identity(),
            nn.Flatten(),
            nn.Linear(plan.width * side**2, CLASSES),
        ]
        self.layers = nn.Sequential(*layers)
        self.writes = "nothing" if clean else plan.writes
        self.shifts, self.rounds = plan.writes == "seen", plan.writes == "hidden"
        self.buffers_change = "none" if clean else plan.buffers
        self.drifts = plan.buffers == "drifting"
        self.register_buffer("calls", torch.ones(1))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        if self.writes == "seen":
            x.sub_(0.5).mul_(2.0)
        elif self.shifts:
            x = (x - 0.5) * 2.0
        if self.writes == "hidden":
            with torch.no_grad():
                x.mul_(4).round_().div_(4)
        elif self.rounds:
            x = x + ((x * 4).round() / 4 - x).detach()
        if self.buffers_change == "counted in place":
            self.calls.add_(1.0)
        elif self.buffers_change == "counted by assignment":
            self.calls = self.calls + 1.0
        elif self.buffers_change == "drifting":
            self.calls.mul_(1.25)
        logits: Tensor = self.layers(x)
        if self.buffers_change == "drifting":
            logits = logits * self.calls
        elif self.drifts:
            logits = logits * 1.25
        return logits


def exported(network: nn.Module, x: Tensor) -> nn.Module:
    batch = torch.export.Dim("batch", min=1, max=64)
    return quietly(torch.export.export, network, (x.clone(),), dynamic_shapes=({0: batch},)).module()


FORMS = {
    "plain": lambda network, x: network,
    "in a Sequential": lambda network, x: nn.Sequential(nn.Identity(), network).eval(),
    "in DataParallel": lambda network, x: nn.DataParallel(network),
    "compiled": lambda network, x: torch.compile(network, backend="eager"),
    "compiled in place": lambda network, x: (network.compile(backend="eager"), network)[1],
    "frozen parameters": lambda network, x: network.requires_grad_(False),
    "traced": lambda network, x: quietly(torch.jit.trace, network, x.clone(), check_trace=False),
    "scripted": lambda network, x: quietly(torch.jit.script, network),
    "scripted and frozen": lambda network, x: quietly(torch.jit.freeze, quietly(torch.jit.script, network).eval()),
    "exported": exported,
}


def evaluated(network: nn.Module, x: Tensor, y: Tensor) -> robench.Evaluation:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the worst case may be broken, the network compiled
        return robench.evaluate(network, x, y, eps=0.1, attacks=["fgsm", "pgd-10"], device="cpu")


@cache
def expected(plan: Plan) -> tuple[Tensor, Tensor, list[list[bool]]]:
    """Images, their labels, and the verdicts of the plain network; most forms are given the same plans."""
    x = torch.rand(N, plan.channels, SIZE, SIZE, generator=torch.Generator().manual_seed(plan.seed))
    reference = Body(plan, clean=True)
    with torch.no_grad():
        y = reference(x.clone()).argmax(1)
    return x, y, verdicts(evaluated(reference, x, y))


def verdicts(report: robench.Evaluation) -> list[list[bool]]:
    return [result.record.robust.tolist() for result in report.results]


def state(network: nn.Module) -> dict[str, object]:
    """Everything that an evaluation must leave as it is."""
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    return {name: (each.clone().tolist(), each.requires_grad, each.grad) for name, each in tensors.items()} | {
        f"{name} trains": getattr(module, "training", None) for name, module in network.named_modules()
    }


QUICK = ("plain", "in DataParallel", "compiled", "scripted and frozen", "exported")
"""Forms that are tried by default: one of each kind."""


@pytest.mark.parametrize("examples", [3, slow(30)])
@pytest.mark.parametrize("form", [*QUICK, *map(slow, sorted(FORMS.keys() - set(QUICK)))])
def test_it_gets_the_verdicts_of_the_plain_network(form, examples):
    @settings(
        max_examples=examples, deadline=None, derandomize=True, database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )  # fmt: skip
    @given(PLANS)
    def check(plan: Plan) -> None:
        torch._dynamo.reset()
        x, y, plain = expected(plan)
        network = FORMS[form](Body(plan, clean=False), x)
        before, images = state(network), x.clone()
        found = evaluated(network, x, y)
        if form == "traced" and plan.writes == "hidden":
            # A trace does not hold `no_grad`: the gradient of the rounding is zero there, and this is seen.
            assert found.worst_case.trust.level == "broken"
        else:
            assert verdicts(found) == plain
        assert torch.equal(x, images)
        assert state(network) == before

    check()
