"""Penultimate features of anyone's network: found, or named."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import robench
from robench.classifiers import load_model
from robench.classifiers.features import MEND, NO_HEAD, UNKNOWN, find
from robench.classifiers.normalised import Normalised
from robench.classifiers.sources import resolve
from robench.errors import InputError
from robench.specs import Input, NetworkSpec, find_attack
from tests.support.networks import toy
from tests.support.toys import Own, functional, hooks

FEATURE = find_attack("feature-attack").model_copy(update={"steps": 12, "restarts": 2})
SEEING = [FEATURE, "fn-pgd-20"]
NAMES = ["feature-attack", "fn-pgd-20"]
X = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def evaluate(model, x=X, y=None, **options):
    y = model(x).argmax(1) if y is None else y
    return robench.evaluate(
        model, x, y, **{"eps": 0.03, "attacks": SEEING, "device": "cpu", "batch_size": 9, **options}
    )


def found(model, name=None, x=X):
    """Where the features of a network are, and those of all images, as an attack gets them."""
    with torch.no_grad():
        layer = find(model, name, lambda asked: model(asked).float(), x[:1])
        return layer, None if layer is None else layer.read(model, x)[1]


def verdicts(report):
    """All that an attack has to say of each example."""
    return {
        result.record.header.attack.name: (result.record.robust.tolist(), result.record.step.tolist(),
                                           result.record.queries.tolist())
        for result in report.results
    }  # fmt: skip


# ---- Found ----


def anonymous(model):
    """The same network without any of robench's own parts at its ends."""
    head = nn.Linear(model.head.weight.shape[1], len(model.head.weight))
    head.load_state_dict(model.head.state_dict())
    return Normalised(nn.Sequential(model.backbone, head), model.mean.flatten().tolist(), model.std.flatten().tolist())


def test_a_network_of_ones_own_gets_the_verdicts_of_the_same_network_in_the_registry(digits):
    ours, x, y = load_model("pgdat"), digits.x[:20], digits.y[:20]
    theirs = anonymous(ours).eval()
    assert torch.equal(ours(x), theirs(x))
    first, second = (evaluate(model, x, y, eps=0.2, batch_size=8) for model in (ours, theirs))
    assert not second.skipped
    assert verdicts(first) == verdicts(second)
    assert 0 < second["feature-attack"].robust_accuracy < second["feature-attack"].clean_accuracy
    assert first.worst_case.robust_accuracy == second.worst_case.robust_accuracy


def test_robenchs_own_heads_are_found_inside_another_network(digits):
    ours: Any = load_model("pgdat_he")
    layer, z = found(nn.Sequential(nn.Identity(), ours).eval(), x=digits.x[:8])
    assert layer.head is ours.head
    assert torch.equal(z, ours.features(digits.x[:8]))
    skipped = evaluate(nn.Sequential(ours).eval(), digits.x[:8], digits.y[:8], attacks=["fn-pgd-20"]).skipped
    assert [each.reason for each in skipped] == ["the network normalises its features itself"]


SMALL = {"image_size": 64, "patch_size": 16, "num_layers": 1, "num_heads": 2, "hidden_dim": 24, "mlp_dim": 16}
TORCHVISION = {
    "resnet18": (torchvision.models.resnet18, 512),
    "mobilenet_v3_small": (torchvision.models.mobilenet_v3_small, 1024),
    "vision_transformer": (partial(torchvision.models.VisionTransformer, **SMALL), 24),
}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_networks_show_what_their_last_layer_takes(name):
    torch.manual_seed(0)
    make, size = TORCHVISION[name]
    model = make(num_classes=7).eval()
    x = torch.rand(2, 3, 64, 64)
    layer, z = found(model, x=x)
    assert z.shape == (2, size)
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    assert layer.head is layer.module is last
    with torch.no_grad():
        torch.testing.assert_close(last(z), model(x))


def test_a_convolution_may_be_the_last_layer():
    torch.manual_seed(0)
    body = [nn.Conv2d(1, 6, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    one, whole = nn.Sequential(*body, nn.Conv2d(6, 5, 1), nn.Flatten()), nn.Sequential(nn.Conv2d(1, 5, 8), nn.Flatten())
    for model, size in ((one.eval(), 6), (whole.eval(), 64)):
        layer, z = found(model)
        assert z.shape == (24, size)
        linear = F.linear(z, layer.head.weight.flatten(1), layer.head.bias)
        torch.testing.assert_close(linear, model(X).detach(), rtol=1e-4, atol=1e-5)


def dead(self, z):
    """An auxiliary layer runs last, and nothing comes of it."""
    logits = self.fc(z)
    self.aux(z)
    return logits


def double(self, z):
    """Two layers make the logits together."""
    return self.fc(z) + self.aux(z)


def again(self, z):
    """One layer runs twice."""
    self.fc(z + 1)
    return self.fc(z)


CHANGES = {
    "softmax": lambda self, z: self.fc(z).softmax(1),
    "temperature": lambda self, z: self.fc(z) / 3,
    "auxiliary": dead,
    "by name": lambda self, z: self.fc(input=z),
    "dropout": lambda self, z: self.fc(F.dropout(z, training=self.training)),
}
NOT_FOUND = {
    "functional": functional,
    "two layers": double,
    "run twice": again,
    "scaled by the image": lambda self, z: self.fc(z) * z.norm(dim=1, keepdim=True),
    "cut": lambda self, z: self.fc(z)[:, :4],
}


def with_aux(last):
    model = Own(last)
    model.aux = nn.Linear(12, 5)
    return model.eval()


@pytest.mark.parametrize("what", CHANGES)
def test_a_fixed_change_after_the_last_layer_does_not_hide_it(what):
    model = with_aux(CHANGES[what])
    layer, z = found(model)
    assert layer.module is layer.head is model.fc
    assert torch.equal(z, model.body(X))


@pytest.mark.parametrize("what", NOT_FOUND)
def test_a_last_layer_that_is_not_there_is_not_made_up(what):
    assert found(with_aux(NOT_FOUND[what])) == (None, None)


def test_a_layer_that_does_more_than_its_weight_says_has_features_and_no_normalised_logits():
    class Cosine(nn.Linear):
        def forward(self, z):
            return F.linear(F.normalize(z), F.normalize(self.weight))

    model = Own()
    model.fc = Cosine(12, 5)
    report = evaluate(model.eval())
    assert [result.record.header.attack.name for result in report.results] == ["feature-attack"]
    assert {each.name: each.reason for each in report.skipped} == {"fn-pgd-20": NO_HEAD}


# ---- Named ----


def test_a_functional_head_is_skipped_and_named_it_is_not():
    model = Own(functional)
    report = evaluate(model, attacks=["fgsm", *SEEING])
    assert {each.name: each.reason for each in report.skipped} == dict.fromkeys(NAMES, UNKNOWN)
    assert "--feature-layer" in UNKNOWN
    assert "feature_layer=" in UNKNOWN
    report = evaluate(model, feature_layer="body")
    assert {each.name: each.reason for each in report.skipped} == {"fn-pgd-20": NO_HEAD}
    assert 0 < report["feature-attack"].robust_accuracy < 100


def test_naming_what_would_be_found_changes_nothing():
    model = Own()
    found_itself, named = evaluate(model), evaluate(model, feature_layer="body")
    assert not named.skipped
    assert verdicts(found_itself) == verdicts(named)


def test_a_named_layer_comes_before_the_features_of_robenchs_own_networks():
    model, split = toy()
    layer, z = found(model, "backbone", split.x)
    assert torch.equal(z, model.features(split.x))
    assert layer.head is model.head
    maps = found(model, "backbone.0", split.x)[1]
    assert maps.shape == (96, 8 * 6 * 6)
    few = split.x[:24], split.y[:24]
    by_maps = evaluate(model, *few, attacks=[FEATURE], feature_layer="backbone.0")
    assert verdicts(by_maps) != verdicts(evaluate(model, *few, attacks=[FEATURE]))


def test_what_is_changed_in_place_afterwards_is_seen_as_it_was():
    model: Any = Own(functional)
    assert torch.equal(found(model, "body.1")[1], F.linear(X.flatten(1), model.body[1].weight, model.body[1].bias))


def test_gradients_pass_through_the_features():
    model = Own(functional)
    x = X.clone().requires_grad_()
    layer = find(model, "body", lambda asked: model(asked).detach(), X[:1])
    seen = torch.autograd.grad(layer.read(model, x)[1].square().sum(), x)[0]
    torch.testing.assert_close(seen, torch.autograd.grad(model.body(x).square().sum(), x)[0])


def test_a_normalised_network_has_the_names_its_owner_knows():
    model: Any = Normalised(Own(functional), [0.5], [0.5]).eval()
    assert torch.equal(found(model, "body")[1], model.network.body((X - 0.5) / 0.5))
    with pytest.raises(InputError, match=r"unknown feature layer 'network\.body'"):
        evaluate(model, feature_layer="network.body")


def twice(self, z):
    return functional(self, self.extra(self.extra(z)))


def pair(self, z):
    return functional(self, self.extra(z)[0])


def one(self, z):
    return functional(self, z) + self.extra(z)


class Gives(nn.Module):
    """A layer that gives what a function makes of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, z):
        return self.function(z)


UNFIT = {
    "never": (functional, lambda z: z, "runs 0 times"),
    "twice": (twice, lambda z: z, "runs 2 times"),
    "tuple": (pair, lambda z: (z, z), "gives a tuple for 1 images"),
    "one number": (one, lambda z: z.sum(), r"of shape \(\) for 1 images"),
    "integers": (lambda self, z: functional(self, z) + 0 * self.extra(z)[:, :1], lambda z: z.long(), "int64"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_a_layer_that_gives_no_features_is_one_sentence(what):
    last, function, words = UNFIT[what]
    model = Own(last)
    model.extra = Gives(function).eval()
    with pytest.raises(InputError, match=words) as raised:
        evaluate(model, feature_layer="extra")
    assert MEND in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not hooks(model)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bodi", r"unknown feature layer 'bodi': did you mean body, "),
        ("", "known: body, body.0, body.1, body.2, fc"),
        (3, "feature_layer is a int"),
    ],
)
def test_names_that_are_none_are_one_sentence(name, words):
    with pytest.raises(InputError, match=words):
        evaluate(Own(), feature_layer=name)


def test_a_named_layer_is_part_of_what_a_record_is_of(tmp_path):
    model = Own()
    plain = evaluate(model, results=tmp_path).results[0].record.header
    named = evaluate(model, results=tmp_path, feature_layer="body").results[0].record.header
    assert set(plain.identity["model"]) == {"weights"}
    assert named.identity["model"] == {**plain.identity["model"], "feature_layer": "body"}
    assert [result.source for result in evaluate(model, results=tmp_path, feature_layer="body").results] == [
        "stored", "stored"
    ]  # fmt: skip


def test_nobody_looks_into_what_can_only_be_asked_nor_where_no_attack_wants_it():
    asked = []

    def scores(images):
        asked.append(len(images))
        with torch.no_grad():
            return Own()(images)

    options = {"y": Own()(X).argmax(1), "max_queries": 50}
    evaluate(scores, attacks=["square"], **options)
    plain, asked[:] = sum(asked), []
    assert len(evaluate(scores, attacks=["square", *SEEING], **options).skipped) == 2
    assert sum(asked) == plain
    with pytest.raises(InputError, match="leave feature_layer out"):
        evaluate(scores, feature_layer="body", **options)
    forwards = [evaluate(Own(), attacks=names)["fgsm"].result.record.header.clean_forwards
                for names in (["fgsm"], ["fgsm", "fn-pgd-20"])]  # fmt: skip
    assert forwards[1] == forwards[0] + 2


def test_examples_are_crafted_on_the_features_of_any_network():
    model, base = Own(), find_attack("transfer-pgd-20")
    crafting = base.model_copy(
        update={"name": "transfer-feature", "params": {**base.params, "attack": "feature-attack"}}
    )
    report = evaluate(model, attacks=[crafting], substitutes={"mine": Own(width=20)})
    assert report.results[0].record.robust.sum() < 24
    with pytest.raises(InputError, match="substitute 'mine' has no last layer"):
        evaluate(model, attacks=[crafting], substitutes={"mine": Own(functional)})


# ---- The command line ----

CODE = """
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU())
        self.weight = nn.Parameter(torch.randn(10, 16))

    def forward(self, x):
        return F.linear(F.normalize(self.body(x)), F.normalize(self.weight))


def make_model():
    return Net()
"""


@pytest.fixture
def command(tmp_path, digits):
    (tmp_path / "net.py").write_text(CODE)
    name, x = f"{tmp_path / 'net.py'}:make_model", digits.x[:12]
    y = resolve(NetworkSpec(name, input=Input(mean=[0.3], std=[0.4]))).network(x).argmax(1)
    np.savez(tmp_path / "scans.npz", x=x.numpy(), y=y.numpy())
    return ("eval", "--model", name, "--dataset", f"npz:{tmp_path / 'scans.npz'}",
            "--eps", "0.5", "--mean", "0.3", "--std", "0.4", "--attack", "fgsm", "--attack", "feature-attack",
            "--results", tmp_path / "r")  # fmt: skip


def test_from_the_command_line(cli, command):
    said = cli(*command)
    assert said.code == 0
    assert f"feature-attack: skipped, {UNKNOWN}." in said.err
    said = cli(*command, "--feature-layer", "body")
    assert said.code == 0
    assert "feature-attack " in said.out
    assert "skipped" not in said.err


def test_an_unknown_layer_is_one_sentence(cli, command, tmp_path):
    said = cli(*command, "--feature-layer", "bodi")
    assert (said.code, said.out) == (2, "")
    assert "unknown feature layer 'bodi': did you mean body" in said.sentence
    said = cli("eval", "--model", "pgdat", "--feature-layer", "backbone")
    assert said.code == 2
    assert "a card, which declares everything" in said.sentence
