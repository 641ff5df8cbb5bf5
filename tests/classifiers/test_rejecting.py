"""Networks with a detector: what they may return, how they are named, and what belongs to their identity."""

import json
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import robench
from robench.classifiers.classifier import Classifier
from robench.classifiers.frozen import FrozenNetwork, frozen_network
from robench.classifiers.heads import make_head
from robench.classifiers.rejecting import Rejecting
from robench.classifiers.service import Service
from robench.errors import InputError
from robench.evaluation.request import network_identity
from robench.specs import Head, find_attack, read_card
from tests.support.networks import CPU

pytestmark = [pytest.mark.filterwarnings(f"ignore:{text}:UserWarning") for text in ("the worst", "the network rejects")]
X = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(1))
WEIGHT = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))
BIAS = -(X.flatten(1) @ WEIGHT.T).quantile(torch.tensor(0.7), 0)  # the last logit is above 0 for 8 of 24 images
CODE = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Flatten()
        self.last = nn.Linear(64, 3)
        self.score = nn.Linear(64, 1)

    def forward(self, x):
        z = self.body(x)
        return self.last(z), self.score(z)


def make_model():
    return Net()
"""


class Detecting(nn.Module):
    """Return what `answer` makes of logits (N, 4)."""

    def __init__(self, answer):
        super().__init__()
        self.layer, self.answer = nn.Linear(64, 4), answer
        self.layer.load_state_dict({"weight": WEIGHT, "bias": BIAS})

    def forward(self, x):
        return self.answer(self.layer(x.flatten(1)))


WHOLE = Detecting(lambda z: z).eval()
Y = WHOLE(X)[:, :3].argmax(1)
assert len(Y.unique()) == 3


def evaluate(model, rejects, **options):
    options = {"eps": 0.02, "attacks": ["pgd-1"], "device": "cpu", "rejects": rejects, **options}
    return robench.evaluate(model.eval(), X, Y, **options)


WRONG = {
    "no pair": ("flag", lambda z: z, "returns Tensor, expected a pair .* leave --rejects flag"),
    "three values": ("flag", lambda z: (z, z[:, 0], z[:, 0]), "returns 3 values, expected a pair"),
    "no tensor": ("flag", lambda z: (z, "no"), "returns 2 values, expected a pair"),
    "short": ("flag", lambda z: (z, z[1:, 0]), r"score of shape \(0,\) for 1 images, expected one bool or real"),
    "wide": ("flag", lambda z: (z, z), r"score of shape \(1, 4\) for 1 images, expected one bool or real"),
    "one for all": ("flag", lambda z: (z, z.sum()), r"score of shape \(\) for 1 images, expected one bool or real"),
    "complex": ("flag", lambda z: (z, z[:, 0] * 1j), "torch.complex64 score"),
    "one logit": ("flag", lambda z: (z[:, :1], z[:, 1]), "one value for each image"),
    "no class left": ("logit", lambda z: z[:, :2], r"shape \(1, 2\) for 1 images, expected logits \(1, K\+1\)"),
    "flat": ("logit", lambda z: z[:, 0], r"shape \(1,\) for 1 images, expected logits \(1, K\+1\)"),
    "text": ("logit", lambda z: "no", "returns str, expected a tensor of logits"),
    "nan": ("flag", lambda z: (z, z[:, 0] * torch.nan), "NaN or infinite logits for 24 clean examples"),
}


@pytest.mark.parametrize(("rejects", "answer", "message"), WRONG.values(), ids=WRONG)
def test_another_answer_is_refused_in_one_sentence(rejects, answer, message):
    x = X[:1] if "1 images" in message else X
    with pytest.raises(InputError, match=f"^[^\n]*{message}[^\n]*$"):
        robench.evaluate(Detecting(answer).eval(), x, Y[: len(x)], eps=0.02, attacks=["pgd-1"], rejects=rejects)


def test_options_that_do_not_go_together_and_labels_of_rejections_are_refused():
    with pytest.raises(InputError, match="rejects 'yes' is unknown: use 'logit' or 'flag'"):
        evaluate(WHOLE, "yes")
    with pytest.raises(InputError, match="--single-logit and --rejects"):
        evaluate(WHOLE, "logit", single_logit=True)
    with pytest.raises(InputError, match=r"robench.Service\(ask, 'api', rejects='logit'\)"):
        robench.evaluate(Service(WHOLE, "api"), X, Y, eps=0.02, attacks=["square"], rejects="logit")
    with pytest.raises(InputError, match="label 3 is beyond the network's 3 classes"):
        robench.evaluate(WHOLE, X, Y + 1, eps=0.02, attacks=["pgd-1"], rejects="logit")


@pytest.mark.parametrize("score", [lambda z: z > 0, lambda z: (z > 0)[:, None], torch.Tensor.half, torch.Tensor.double])
def test_a_pair_becomes_logits_whose_last_is_the_largest_for_a_rejected_input(score):
    network = Rejecting(Detecting(lambda z: (z[:, :3], score(z[:, 3]))), "flag").eval()
    with frozen_network(network, CPU) as frozen:
        logits = frozen.predict(X)
        assert frozen.rejects
        assert frozen.classes(logits) == 3
    assert logits[:, :3].equal(WHOLE(X)[:, :3])
    assert (logits.argmax(1) == 3).equal(WHOLE(X)[:, 3] > 0)


def test_in_float64_the_network_runs_in_float64():
    pair = Detecting(lambda z: (z[:, :3], z[:, 3]))
    for network in (Rejecting(Detecting(lambda z: z), "logit"), Rejecting(pair, "flag")):
        with frozen_network(network.eval(), CPU) as frozen:
            exact, rough = frozen.in_float64()(X), frozen.predict(X)
        assert exact.dtype == torch.float64
        assert 0 < (exact - rough.double()).abs().max() < 1e-4


def test_features_and_the_constants_of_a_head_are_found_inside():
    spec = Head(kind="he", scale=15.0, margin=0.2)
    inside = Classifier(nn.Flatten(), make_head(spec, 64, 4), [0.0], [1.0])
    frozen = FrozenNetwork.of(Rejecting(inside, "logit").eval(), CPU)
    assert (frozen.scale, frozen.margin) == (15.0, 0.2)
    seen = frozen.with_features(None, frozen.predict, X[:1])
    assert seen.layer is not None
    assert seen.head is inside.head
    logits, normalised = seen.class_answer(X, Y, "normalized")
    assert logits.shape == normalised.shape == (24, 3)
    logits, features = seen.class_answer(X, Y, "features")
    assert features.equal(X.flatten(1))
    pair = FrozenNetwork.of(Rejecting(Detecting(lambda z: (z, z[:, 0])), "flag").eval(), CPU)
    found = pair.with_features(None, pair.predict, X[:1])
    assert found.layer is not None
    assert found.head is None


def test_attacks_on_features_see_classes_only():
    feature = find_attack("feature-attack").model_copy(update={"steps": 2, "restarts": 1})
    found = evaluate(WHOLE, "logit", attacks=[feature, "fn-pgd-2"], eps=0.2)
    assert [each.record.robust_accuracy < each.record.clean_accuracy for each in found.results] == [True, True]
    pair = evaluate(Detecting(lambda z: (z, z[:, 3] - 9)), "flag", attacks=[feature, "fn-pgd-2"])
    assert len(pair.results) == 1
    assert "no layer that maps these features to the logits" in pair.skipped[0].reason


def lead(x):
    """Logits of the classes, and by how much the last logit is the largest."""
    z = WHOLE(x).detach()
    return z[:, :3], z[:, 3] - z[:, :3].amax(1)


SERVICES = {
    "scores": ("score", {"rejects": "logit"}, lambda x: WHOLE(x).detach().numpy()),
    "scores and flags": ("score", {"rejects": "flag"}, lambda x: (lead(x)[0].tolist(), (lead(x)[1] > 0).tolist())),
    "labels": ("decision", {"rejects": "logit", "classes": 3}, lambda x: WHOLE(x).argmax(1).tolist()),
    "labels and scores": ("decision", {"rejects": "flag", "classes": 3}, lambda x: (lead(x)[0].argmax(1), lead(x)[1])),
}


@pytest.mark.parametrize(("access", "said", "ask"), SERVICES.values(), ids=SERVICES)
def test_a_service_may_reject_too(access, said, ask):
    service = Service(ask, "api", **said)
    assert service.identity() == {"service": "api", "rejects": said["rejects"]}
    with torch.no_grad():
        logits = service(X)
    assert service.access == access
    assert logits.shape == (24, 4)
    assert logits.argmax(1).equal(WHOLE(X).argmax(1))
    attack = "rays" if access == "decision" else "square"
    options: dict[str, Any] = {"attacks": [attack], "max_queries": 40, "eps": 0.2, "device": "cpu"}
    found = robench.evaluate(service, X, Y, **options).results[0].record
    expected = robench.evaluate(WHOLE, X, Y, rejects="logit", **options).results[0].record
    assert found.robust.tolist() == expected.robust.tolist() or said["rejects"] == "flag"
    assert found.clean.tolist() == expected.clean.tolist()
    assert found.header.diagnostics["rejected-clean"] == expected.header.diagnostics["rejected-clean"] > 0


def test_a_service_that_returns_no_pair_is_refused():
    with torch.no_grad(), pytest.raises(InputError, match="service 'api' answers with Tensor, expected a pair"):
        Service(WHOLE, "api", rejects="flag")(X)
    with torch.no_grad(), pytest.raises(InputError, match=r"service 'api' returns a .* score of shape \(24, 3\)"):
        Service(lambda x: (lead(x)[0], lead(x)[0]), "api", rejects="flag")(X)
    with torch.no_grad(), pytest.raises(InputError, match="labels that are not among 0 to 3"):
        Service(lambda x: [4] * len(x), "api", rejects="logit", classes=3)(X)


def test_it_is_part_of_the_identity():
    found = [network_identity(each)["weights"] for each in (WHOLE, Rejecting(WHOLE, "logit"), Rejecting(WHOLE, "flag"))]
    assert len(set(found)) == 3


def test_command_line_card_and_verify(tmp_path, cli):
    (tmp_path / "net.py").write_text(CODE)
    state = {"last.weight": WEIGHT[:3].clone(), "last.bias": BIAS[:3].clone()}
    state |= {"score.weight": WEIGHT[3:].clone(), "score.bias": BIAS[3:].clone()}
    save_file(state, tmp_path / "w.safetensors")
    np.savez(tmp_path / "data.npz", x=X.numpy(), y=Y.numpy())
    network = ("--model", f"{tmp_path / 'net.py'}:make_model", "--weights", tmp_path / "w.safetensors")
    data = ("--dataset", f"npz:{tmp_path / 'data.npz'}")
    common = ("--attack", "pgd-10", "--eps", 0.1, "--results", tmp_path / "results", "--device", "cpu")
    flag = ("--rejects", "flag")
    said = cli("eval", *network, *data, *common, *flag, "--save-adversarial", "--json", tmp_path / "a.json")
    assert said.code == 0, said.err
    rejected = int((X.flatten(1) @ WEIGHT[3] + BIAS[3] > 0).sum())
    assert 0 < rejected < 12
    assert f"the network rejects {rejected} of 24 clean examples: they count as errors." in said.err
    assert "an input is rejected if its score is above 0" in said.err
    result = json.loads((tmp_path / "a.json").read_text())["results"][0]
    assert result["clean_accuracy"] == round(100 * (24 - rejected) / 24, 4)
    assert result["robust_accuracy"] < result["clean_accuracy"]
    said = cli("verify", "--results", tmp_path / "results")
    assert said.code == 0, said.err
    said = cli("verify", *network, *flag, "--results", tmp_path / "results")
    assert said.code == 0, said.err
    assert cli("verify", *network, "--results", tmp_path / "results").code == 1
    said = cli("card", "init", *network, *data, *flag, "--name", "one", "--out", tmp_path / "cards")
    assert said.code == 0, said.err
    card = read_card(tmp_path / "cards" / "data" / "one")
    assert card.identity()["rejects"] == "flag"
    assert "rejects" not in card.model_copy(update={"rejects": None}).identity()
    said = cli("eval", "--model", card.folder, *common, "--json", tmp_path / "b.json")
    assert said.code == 0, said.err
    assert json.loads((tmp_path / "b.json").read_text())["results"][0]["robust_accuracy"] == result["robust_accuracy"]
    refused = cli("eval", "--model", card.folder, *common, *flag)
    assert refused.code == 2
    assert "--rejects out" in refused.last
