"""A network comes back from every evaluation as it was lent."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import robench
from robench.classifiers.frozen import frozen_network
from robench.errors import InputError
from robench.specs import find_attack
from tests.support.networks import CPU
from tests.support.toys import Own, functional, hooks

FEATURE = find_attack("feature-attack").model_copy(update={"steps": 12, "restarts": 2})
SEEING = [FEATURE, "fn-pgd-20"]
X = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def evaluate(model, y, **options):
    return robench.evaluate(
        model, X, y, **{"eps": 0.03, "attacks": SEEING, "device": "cpu", "batch_size": 9, **options}
    )


class Moody(Own):
    """Raises in its n-th pass from now; counts its passes in a buffer, and writes its own weights anew in each."""

    def __init__(self, last=None):
        super().__init__(last)
        self.passes: torch.Tensor
        self.register_buffer("passes", torch.zeros(()))
        self.norm = nn.BatchNorm1d(12)
        self.body[1].weight.requires_grad_(False)
        self.fc.bias.grad = torch.ones(5)
        self.fc.register_forward_hook(lambda *_: None)
        self.left = None
        self.eval()

    def forward(self, x):
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise OSError("the disk is full")
        self.passes += 1
        with torch.no_grad():
            self.fc.weight.copy_(F.normalize(self.fc.weight))
        return self.last(self, self.norm(self.body(x)))


def state(model):
    """All that a caller can see of a network, byte by byte."""
    return {
        "training": [module.training for module in model.modules()],
        "flags": [each.requires_grad for each in model.parameters()],
        "tensors": {name: (id(each), each.device, each.dtype, each.numpy(force=True).tobytes())
                    for name, each in [*model.named_parameters(), *model.named_buffers()]},
        "state_dict": {name: each.numpy().tobytes() for name, each in model.state_dict().items()},
        "grad": [None if each.grad is None else (id(each.grad), each.grad.tolist()) for each in model.parameters()],
        "hooks": hooks(model),
    }  # fmt: skip


def refused(model, y):
    with pytest.raises(InputError, match="beyond the network's 5 classes"):
        evaluate(model, y + 10)


def interrupted(model, y):
    for passes in (0, 1, 2, 9, 40):
        model.left = passes
        with pytest.raises(OSError, match="the disk is full"):
            evaluate(model, y)
    model.left = None


def succeeds(model, y):
    assert not evaluate(model, y, attacks=["pgd-20", *SEEING]).skipped


def skips(model, y):
    model.last = functional
    assert len(evaluate(model, y, attacks=["fgsm", *SEEING]).skipped) == 2


def names(model, y):
    evaluate(model, y, feature_layer="body.1", attacks=[FEATURE])


def asks_for_nothing(model, y):
    with pytest.raises(InputError, match="unknown feature layer"):
        evaluate(model, y, feature_layer="nowhere")


@pytest.mark.parametrize("happens", [succeeds, refused, interrupted, skips, names, asks_for_nothing])
def test_an_evaluation_changes_nothing(happens):
    model = Moody()
    y = Moody()(X).argmax(1)
    before = state(model)
    assert len(before["hooks"]) == 1
    assert not all(before["flags"])
    assert any(before["flags"])
    happens(model, y)
    assert state(model) == before


def test_what_is_done_to_a_lent_network_is_undone():
    model = Moody()
    before = state(model)
    with pytest.raises(OSError, match="full"), frozen_network(model, CPU) as frozen:
        assert not any(each.requires_grad for each in model.parameters())
        frozen.module.double().requires_grad_(True)
        frozen.module.train()
        frozen.module.fc.bias.grad = torch.zeros(5, dtype=torch.float64)
        frozen.module.passes = torch.ones(())
        raise OSError("full")
    assert state(model) == before


@pytest.mark.gpu
def test_a_network_comes_back_from_the_gpu():
    model = Moody()
    y = Moody()(X).argmax(1)
    before = state(model)
    evaluate(model, y, device="cuda")
    assert state(model) == before
