"""The network as the search runs it is the same function; the judge asks the network itself."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

import robench
from robench.classifiers.classifier import Classifier, assemble
from robench.classifiers.frozen import frozen_network
from robench.classifiers.fused import accelerate
from robench.classifiers.heads import LinearHead
from robench.classifiers.precision import arithmetic
from robench.data import find_dataset
from robench.errors import InputError
from robench.specs import Architecture, Head, Input
from tests.support.marks import slow
from tests.support.toys import stopped_after_a_chunk

CPU = torch.device("cpu")
NETWORKS = {
    "convnet": {"channels": [8, 16], "strides": [1, 2], "features": 16, "batch_norm": True},
    "resnet18": {},
    "preact_resnet18": {},
    "wide_resnet": {"depth": 10, "widen_factor": 1},
    "torchvision_resnet": {"name": "resnet18"},
    "xcit": {"width": 32, "depth": 1, "heads": 2, "patch": 4},
    "pssilu_wide_resnet": {"depth": 10, "widen_factor": 1},
    "robust_resnet": {"widths": [8, 8, 16, 32], "blocks": [1, 1, 1]},
    "deepmind_flexible_wide_resnet": {"widths": [8, 8, 16, 32], "blocks": [1] * 3, "mean_sparse": True},
    "strided_resnet": {"name": "resnet18", "downsampling": "blur"},
}


def made(name, head="linear"):
    """A network in evaluation mode whose batch norm has something to do."""
    torch.manual_seed(0)
    declared = Architecture(name=name, args=NETWORKS[name])
    network = assemble(declared, Head(kind=head), Input(mean=[0.4], std=[0.3]), (3, 32, 32), 10, "the test").eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor, low, high in (
                (module.running_mean, -0.5, 0.5),
                (module.running_var, 0.5, 2.0),
                (module.weight.data, 0.5, 1.5),
                (module.bias.data, -0.5, 0.5),
            ):
                tensor.uniform_(low, high)
    return network


def images(n=4, **kwargs):
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(1), **kwargs)


def slope(network, x):
    x = x.clone().requires_grad_()
    logits = network(x)
    (gradient,) = torch.autograd.grad(logits.sin().sum(), x)
    return logits.detach(), gradient


@pytest.mark.parametrize("head", [slow("linear"), "he"])
@pytest.mark.parametrize("name", NETWORKS)
def test_it_is_the_same_function_in_float64(name, head):
    network, side = made(name, head).double(), 32 if name in ("convnet", "xcit", "strided_resnet") else 16
    fast, x = accelerate(network, "fused", "fp32", CPU), images(2)[..., :side, :side].double()
    assert not torch.equal(fast(x), network(x)), "nothing was folded"
    for got, expected in zip(slope(fast, x), slope(network, x), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["convnet", "resnet18", "torchvision_resnet"])
def test_no_batch_norm_is_left_where_every_one_follows_a_convolution(name):
    fast = accelerate(made(name), "fused", "fp32", CPU)
    x = images(1).requires_grad_()
    names, nodes = set(), [fast(x).grad_fn]
    while nodes:
        node = nodes.pop()
        names.add(type(node).__name__)
        nodes += [each for each, _ in node.next_functions if each is not None]
    assert not [each for each in names if "BatchNorm" in each]
    assert [each for each in names if "Conv" in each]


def test_the_network_stays_as_it_was():
    network = made("wide_resnet")
    before = deepcopy(network.state_dict())
    with frozen_network(network, CPU) as frozen:
        fast = frozen.accelerated("fused", "fp32")
        assert fast.search_module is not network
        assert fast.module is network
        slope(fast.search_module, images())
    assert all(torch.equal(value, network.state_dict()[key]) for key, value in before.items())
    assert all(each.requires_grad and each.grad is None for each in network.parameters())
    assert any(isinstance(each, nn.BatchNorm2d) for each in network.modules())


def own():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(3600, 10)).eval()


def listened_to():
    network = made("wide_resnet")
    network.backbone.block1.register_forward_hook(lambda *_: None)
    return network


def with_another_forward():
    network = made("wide_resnet")
    network.backbone.forward = lambda x: network.backbone.__class__.forward(network.backbone, x)
    return network


class Doubled(Classifier):
    def forward(self, x):
        return 2 * super().forward(x)


def of_another_class():
    network = made("wide_resnet")
    return Doubled(network.backbone, network.head, [0.4], [0.3]).eval()


def with_another_backbone():
    backbone = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Classifier(backbone, LinearHead(4, 10), [0.4], [0.3]).eval()


class Fickle(nn.Module):
    """Looks at values on its way, which no trace can follow."""

    def __init__(self):
        super().__init__()
        self.backbone = made("wide_resnet").backbone

    def forward(self, x):
        return self.backbone(x if x.mean() > 0 else -x)


Fickle.__module__ = "robench.classifiers.architectures.fickle"


def that_looks_at_values():
    return Classifier(Fickle(), LinearHead(64, 10), [0.4], [0.3]).eval()


def with_another_layer():
    network = made("wide_resnet")
    network.backbone.block1.layer[0].conv1 = OwnLayer(16, 16, 3, padding=1, bias=False)
    return network.eval()


class OwnLayer(nn.Conv2d):
    """Does what a trace would not see."""

    def forward(self, x):
        return super().forward(x) if torch.is_grad_enabled() else 2 * super().forward(x)


def with_other_features():
    network = made("wide_resnet")
    network.features = lambda x: 1 - type(network).features(network, x)
    return network


def with_a_hook_on_the_whole():
    network = made("wide_resnet")
    network.register_forward_pre_hook(lambda _, given: ((given[0] * 4).round() / 4,))
    return network


ODD = [own, listened_to, with_another_forward, of_another_class, with_another_backbone, that_looks_at_values,
       with_another_layer, with_other_features, with_a_hook_on_the_whole]  # fmt: skip


@pytest.mark.parametrize("make", [*ODD, lambda: robench.load_model("pgdat")])
def test_what_is_not_code_of_robench_alone_or_has_no_batch_norm_is_searched_as_it_is(make):
    assert accelerate(make(), "fused", "fp32", CPU) is None


@pytest.mark.parametrize("make", [lambda: made("wide_resnet"), *ODD])
def test_what_is_compiled_is_the_network(make, monkeypatch):
    """The compiler left out: it is asked for the right network, and features are that network's."""
    monkeypatch.setattr(torch, "compile", lambda module, **_: nn.Sequential(module))
    network, x = make(), images()
    with frozen_network(network, CPU) as frozen, torch.no_grad():
        fast = frozen.accelerated("compiled", "fp32")
        torch.testing.assert_close(fast.search_module(x), network(x))
        if isinstance(network, Classifier):
            for got, expected in zip(fast.answer(x, "features"), frozen.answer(x, "features"), strict=True):
                torch.testing.assert_close(got, expected)


def test_plain_is_as_it_is():
    assert accelerate(made("wide_resnet"), "plain", "fp32", CPU) is None


def test_a_search_that_is_wrong_breaks_nothing():
    """A network that calls everything another class: the judge confirms only what the real one says."""

    class Wrong(nn.Module):
        def forward(self, x):
            return (
                torch.nn.functional.one_hot(torch.ones(len(x), dtype=torch.int64), 10) + 0 * x.sum((1, 2, 3))[:, None]
            )

    from robench.access.judge import Judge
    from robench.access.microbatches import MicroBatcher
    from robench.algorithms import bind
    from robench.engine.loop import Chunk, Job, attack_chunk
    from robench.specs import ThreatModel, find_attack

    split, spec = find_dataset("digits").load("test", limit=40), find_attack("pgd-20")
    with frozen_network(robench.load_model("pgdat"), CPU) as frozen:
        misled, batcher = replace(frozen, accelerated_module=Wrong()), MicroBatcher(16)
        job = Job(misled, bind(spec), spec, ThreatModel.parse("linf", "0.001"), 0, "fp32", batcher)
        judge = Judge(misled, batcher)
        clean = judge.clean(split.x, split.y, split.ids)
        finished = attack_chunk(job, Chunk(split.x[:], split.y, split.ids, clean), judge, lambda *_: None)
    assert torch.equal(torch.from_numpy(finished.rows.robust), clean == split.y)
    assert finished.faults["not misclassified"] > 0


def test_verdicts_do_not_change():
    """Labels are the network's own; eps is such that some fall and some stay."""
    network, x = made("convnet", "he"), images(24)
    with torch.no_grad(), arithmetic("fp32", CPU):
        y = network(x).argmax(1)
    rows = {}
    for search in ("plain", "fused"):
        evaluation = robench.evaluate(network, x, y, eps=0.01, attacks=["pgd-10"], search=search, device="cpu")
        rows[search] = evaluation.results[0].record.robust
    assert 0.05 < rows["plain"].mean() < 0.95
    assert (rows["plain"] == rows["fused"]).all()


def test_a_record_says_how_its_network_was_searched(tmp_path):
    network, x = made("convnet"), images(6)
    with torch.no_grad():
        y = network(x).argmax(1)
    options = {"eps": 0.01, "results": tmp_path, "device": "cpu"}
    found = {}
    asked: list[tuple[list[str], Any]] = [(["cw-linf-100"], "fused"), (["cw-linf-20"], "plain"), (["mim-20"], "plain")]
    for attacks, search in asked:
        evaluation = robench.evaluate(network, x, y, attacks=attacks, search=search, **options)
        found[attacks[0]] = evaluation.results[0].record.header.search
    assert found == {"cw-linf-100": "fused", "cw-linf-20": "fused", "mim-20": "plain"}


def test_a_record_made_in_two_ways_says_both(tmp_path, monkeypatch):
    network, x = made("convnet"), images(6)
    with torch.no_grad():
        y = network(x).argmax(1)
    options = {"eps": 0.01, "results": tmp_path, "device": "cpu", "attacks": ["mim-20"], "chunk_size": 3}
    with stopped_after_a_chunk(monkeypatch):
        robench.evaluate(network, x, y, search="plain", **options)
    header = robench.evaluate(network, x, y, search="fused", **options).results[0].record.header
    assert header.search == "fused and plain"


def test_one_sentence_where_there_is_no_such_search(cli):
    said = cli("eval", "--model", "pgdat", "--search", "fast")
    assert said.code == 2
    assert "--search': 'fast' is not one of 'plain', 'fused', 'compiled'" in said.sentence
    with pytest.raises(InputError, match="unknown search"):
        robench.evaluate(robench.load_model("pgdat"), torch.rand(2, 1, 8, 8), [0, 1], eps=0.1, search="fast")  # type: ignore[arg-type]


def test_a_service_is_not_compiled():
    with pytest.raises(InputError, match="a service is asked, not run"):
        robench.evaluate(lambda x: torch.zeros(len(x), 3), torch.rand(2, 1, 8, 8), [0, 1], eps=0.1, search="compiled")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor", "ignore:torch.compile took")
def test_a_compiled_network_gives_the_same_verdicts_and_its_time_is_counted(tmp_path, monkeypatch):
    """Half a minute, and a C++ compiler."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    split, records = find_dataset("digits").load("test", limit=100), {}
    for search in ("plain", "compiled"):
        evaluation = robench.evaluate(
            robench.load_model("pgdat"), split.x, split.y, eps=0.2, attacks=["pgd-20", "mim-20"], search=search
        )
        records[search] = [result.record for result in evaluation.results]
    for plain, compiled in zip(*records.values(), strict=True):
        assert (plain.robust == compiled.robust).mean() >= 0.99
    first, second = (record.header.seconds for record in records["compiled"])
    assert first > second + 1
