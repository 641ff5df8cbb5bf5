"""Networks with one output for two classes, through every door, against the same network with logits (0, z)."""

import json

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

import robench
from robench.classifiers.frozen import frozen_network
from robench.classifiers.service import Service
from robench.classifiers.single_logit import SingleLogit
from robench.classifiers.sources import resolve
from robench.errors import InputError
from robench.evaluation.request import NetworkUnderTest, network_identity
from robench.specs import NetworkSpec, find_attack, read_card
from tests.support.networks import CPU, Linear
from tests.support.programs import quietly

W = torch.randn(64, generator=torch.Generator().manual_seed(0))
X = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(1))
BIAS = -float((X.flatten(1) @ W).median())
CODE = """
from torch import nn


def make_model():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1))


def column():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1), nn.Flatten(0))
"""
FEATURE = find_attack("feature-attack").model_copy(update={"steps": 2, "restarts": 1})
SPARSE = ["pgd-1", "apgd-dlr", FEATURE, "square"]


def single(flat: bool = False) -> nn.Module:
    layer = nn.Linear(64, 1)
    layer.load_state_dict({"weight": W[None], "bias": torch.tensor([BIAS])})
    return nn.Sequential(nn.Flatten(), layer, *([nn.Flatten(0)] if flat else [])).eval()


TWO = Linear(W, BIAS).eval()
Y = TWO(X).argmax(1)


def evaluate(model, **options):
    return robench.evaluate(model, X, Y, **{"eps": 0.02, "attacks": ["pgd-1"], "device": "cpu", **options})


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "net.py").write_text(CODE)
    save_file({name: value.clone() for name, value in single().state_dict().items()}, tmp_path / "w.safetensors")
    np.savez(tmp_path / "data.npz", x=X.numpy(), y=Y.numpy())
    return tmp_path


def exported(folder, batch):
    shapes = None if batch is None else ({0: torch.export.Dim(batch)},)
    quietly(torch.export.save, quietly(torch.export.export, single(), (X[:4],), dynamic_shapes=shapes), folder)
    return str(folder)


def scripted(path):
    quietly(torch.jit.save, quietly(torch.jit.trace, single(flat=True), (X[:4],)), str(path))
    return str(path)


def onnx(path):
    pytest.importorskip("onnx2torch", reason="the extra onnx is not installed")
    quietly(torch.onnx.export, single(), (X[:4],), path, opset_version=17, dynamo=False)
    return f"onnx:{path}"


DOORS = {
    "function": lambda f: (f"{f / 'net.py'}:make_model", f / "w.safetensors"),
    "function of (N,)": lambda f: (f"{f / 'net.py'}:column", f / "w.safetensors"),
    "exported": lambda f: (exported(f / "net.pt2", "n"), None),
    "exported for four images": lambda f: (exported(f / "net.pt2", None), None),
    "torchscript": lambda f: (scripted(f / "net.pt"), None),
    "onnx for four images": lambda f: (onnx(f / "net.onnx"), None),
}


@pytest.mark.parametrize("door", DOORS)
def test_every_door_gives_the_logits_zero_and_z(folder, door):
    spec = NetworkSpec(*DOORS[door](folder), single_logit=True)
    found = resolve(spec).network
    assert isinstance(found, SingleLogit)
    for n in (1, 4, 6):
        assert found(X[:n]).allclose(TWO(X[:n]), atol=1e-5)
    one, two = (X[:6].clone().requires_grad_() for _ in range(2))
    found(one)[:, 1].sum().backward()
    TWO(two)[:, 1].sum().backward()
    assert one.grad.allclose(two.grad, atol=1e-5)
    assert len(NetworkUnderTest.of_user(spec, "data").model) > len("data/@")


def test_a_network_of_timm():
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", num_classes=1, in_chans=1).eval()
    with frozen_network(SingleLogit(network), CPU) as frozen, torch.no_grad():
        expected = network(X)[:, 0]
        assert frozen.predict(X).equal(torch.stack([torch.zeros(24), expected], 1))


def test_verdicts_are_those_of_two_logits_and_more_classes_are_skipped_with_the_reason():
    options = {"attacks": SPARSE, "max_queries": 30}
    found, expected = evaluate(single(flat=True), single_logit=True, **options), evaluate(TWO, **options)
    for name in ("pgd-1", "square-within-30"):
        one, two = (each[name].result.record for each in (found, expected))
        assert one.robust.tolist() == two.robust.tolist()
        assert 0 < one.robust.sum() < len(X)
    assert "feature-attack" in [each.record.header.attack.name for each in found.results]
    reasons = {each.name: each.reason for each in found.skipped}
    assert reasons == {"apgd-dlr": "apgd needs at least 3 classes, the network has 2"}


@pytest.mark.parametrize("flat", [False, True])
def test_without_the_option_one_sentence_names_it(flat):
    with pytest.raises(InputError, match=r"^[^\n]*--single-logit \(in Python single_logit=True\)\.$"):
        evaluate(single(flat))


def test_two_logits_are_no_single_logit_and_labels_are_0_and_1():
    with pytest.raises(InputError, match=r"shape \(\d+, 2\) .* leave --single-logit \(single_logit=True\) out"):
        evaluate(TWO, single_logit=True)
    with pytest.raises(InputError, match="label 2 is beyond the network's 2 classes"):
        robench.evaluate(single(), X, Y + 1, eps=0.02, attacks=["pgd-1"], single_logit=True)


def test_it_is_part_of_the_identity():
    one, other = single(), SingleLogit(single())
    assert network_identity(one) != network_identity(other)
    assert Service(len, "a").identity() == {"service": "a"}
    assert Service(len, "a", single_logit=True).identity() == {"service": "a", "single_logit": True}


def test_a_callable_and_a_service(tmp_path):
    def ask(images):
        return single(flat=True)(images).detach().numpy()

    options = {"attacks": ["square"], "max_queries": 30}
    expected = evaluate(TWO, **options).worst_case.robust_accuracy
    assert evaluate(ask, single_logit=True, **options).worst_case.robust_accuracy == expected
    assert evaluate(Service(ask, "api", single_logit=True), **options).worst_case.robust_accuracy == expected
    for model in (ask, Service(ask, "api")):
        with pytest.raises(InputError, match=r"one number for each image.*single_logit=True"):
            evaluate(model, **options)
    with pytest.raises(InputError, match=r"robench.Service\(ask, 'api', single_logit=True\)"):
        evaluate(Service(ask, "api"), single_logit=True, **options)


def test_command_line_and_card(folder, cli):
    model, data = f"{folder / 'net.py'}:make_model", f"npz:{folder / 'data.npz'}"
    common = ("--attack", "pgd-1", "--eps", 0.02, "--results", folder / "results", "--device", "cpu")
    weights = ("--weights", folder / "w.safetensors", "--dataset", data)
    refused = cli("eval", "--model", model, *weights, *common)
    assert refused.code == 2
    assert "add --single-logit" in refused.last
    said = cli("eval", "--model", model, *weights, "--single-logit", *common, "--json", folder / "a.json")
    assert said.code == 0, said.err
    said = cli("card", "init", "--model", model, *weights, "--single-logit", "--name", "one", "--out", folder / "cards")
    assert said.code == 0, said.err
    card = read_card(folder / "cards" / "data" / "one")
    assert card.single_logit
    assert card.identity()["single_logit"] is True
    assert "single_logit" not in card.model_copy(update={"single_logit": False}).identity()
    said = cli("eval", "--model", card.folder, *common, "--json", folder / "b.json")
    assert said.code == 0, said.err
    one, two = (json.loads((folder / name).read_text())["results"][0] for name in ("a.json", "b.json"))
    assert one["robust_accuracy"] == two["robust_accuracy"] == round(evaluate(TWO)["pgd-1"].robust_accuracy, 4)
    refused = cli("eval", "--model", card.folder, "--single-logit", *common)
    assert refused.code == 2
    assert "--single-logit" in refused.last
