"""Evaluation through a given gradient: BPDA shows what masked gradients hide, the judge asks the network as it is."""

import io
from functools import partial

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import functional as images

import robench
from robench.classifiers import load_model
from robench.classifiers.sources.code_digest import code_digest
from robench.errors import InputError
from robench.report import trust
from robench.report.trust import by_gradient
from robench.store import Store, read
from tests.support.queries import planted
from tests.support.refusals import refused
from tests.support.toys import Toy, X, Y

pytestmark = pytest.mark.filterwarnings("ignore:the worst case is broken:UserWarning")
N = 20
THRESHOLDS, LEVELS = torch.arange(1, 16) / 16, torch.linspace(0, 1, 16)


class Behind(nn.Module):
    """A defense behind a change of its input."""

    def __init__(self, change, name="standard"):
        super().__init__()
        self.network, self.change = load_model(f"digits/{name}").eval(), change

    def forward(self, x):
        return self.network(self.change(x))


def rounded(x):
    return torch.round(x * 15) / 15


def bytes_of(x):
    return (x * 255).to(torch.uint8) / 255


def jpeg(x):
    found = []
    for each in x.detach():
        file = io.BytesIO()
        images.to_pil_image(each).save(file, "JPEG", quality=75)
        found.append(images.to_tensor(Image.open(file)))
    return torch.stack(found)


def thermometer(x):
    return (x[..., None] > THRESHOLDS).float().mean(-1)


def nearest(x):
    return F.one_hot((x[..., None] - LEVELS).abs().argmin(-1), 16).float() @ LEVELS


KINDS = {"rounding": rounded, "jpeg": jpeg, "thermometer": thermometer, "argmax": nearest}


@pytest.fixture(scope="module")
def few(digits):
    return digits.x[:N], digits.y[:N]


def evaluated(network, few, attacks=("pgd-20",), **options):
    return robench.evaluate(network.eval(), *few, eps="0.2", attacks=list(attacks), **options)


@pytest.mark.parametrize("name", KINDS)
def test_a_masked_network_is_trusted_only_with_its_gradient(name, few):
    network = Behind(KINDS[name])
    try:
        worst = evaluated(network, few).worst_case
    except InputError as refusal:
        assert "--backward (rounding, jpeg, thermometer, argmax or file.py:function" in str(refusal)
    else:
        assert worst.trust.level == "broken"
        assert "give it one: --backward rounding, jpeg" in worst.trust.sentence()
        assert worst.robust_accuracy > 20
    worst = evaluated(network, few, backward=name).worst_case
    assert worst.robust_accuracy < 2
    assert worst.trust.level == "trusted", worst.trust.sentence()
    assert worst.attacks == (f"pgd-20-through-{name}",)


def reverse(network):
    network.change = robench.straight_through(network.change, lambda x: -x)
    return network


def dice(network):
    noise = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.5
    network.change = robench.straight_through(network.change, lambda x: noise * x)
    return network


@pytest.mark.parametrize("wrong", [reverse, dice, lambda network: network])
def test_a_wrong_gradient_is_not_trusted(wrong, few):
    worst = evaluated(Behind(rounded), few, ["pgd-2"], backward=wrong).worst_case
    assert worst.robust_accuracy > 5
    assert worst.trust.level == "broken"
    assert "is not good enough: give a better one." in worst.trust.sentence()


def spoil(network):
    network.train()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    return load_model("digits/pgdat")  # in evaluation mode


def test_the_network_itself_is_judged_and_left_as_it_was(few):
    network = load_model("digits/pgdat").eval()
    before = [each.clone() for each in network.state_dict().values()]
    plain = evaluated(network, few, ["pgd-2"], search="plain")["pgd-2"].result.record
    for function in (lambda network: network, spoil):
        assert (evaluated(network, few, ["pgd-2"], backward=function).results[0].record.robust == plain.robust).all()
    assert not network.training
    assert all(map(torch.equal, before, network.state_dict().values()))


def shorter(network):
    return nn.Sequential(network, nn.Linear(10, 9))


def other(network):
    network.change = nn.Identity()
    return network


def fails(network):
    raise RuntimeError("no such part")


REFUSED = {
    "no network": (lambda network: 3, "gives a int, expected a torch.nn.Module"),
    "an error": (fails, "fails (RuntimeError: no such part): mend it"),
    "more arguments": (lambda network, quality: network, "takes network, quality, not the network alone"),
    "no argument": (lambda: 3, "takes nothing, not the network alone"),
    "another function": (other, "changes the network's answers on", "robench.straight_through(part, smooth)"),
    "other classes": (shorter, "gives logits of shape", "the same values"),
    "a network": (nn.Identity(), "backward is a Identity: give a shipped name or a function"),
    "an unknown name": ("jpg", "unknown gradient 'jpg'", "jpeg"),
    "a file": ("nets.py", "is a file: say which function", "nets.py:through"),
    "an absent file": ("nets.py:through", "there is no file 'nets.py'"),
    "no gradient": (lambda network: network, "gives no gradient", "differentiable functions"),
    "a part of another kind": ("thermometer", "is of another kind"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_bad_gradient_is_refused_in_one_sentence(kind, few):
    given, *words = REFUSED[kind]
    network = Behind(jpeg if kind in ("no gradient", "a part of another kind") else rounded)
    refused(lambda: evaluated(network, few, backward=given), *words)


def test_what_has_no_gradient_to_replace_is_refused(few):
    network = Behind(rounded)
    refused(lambda: evaluated(network, few, ["square"], backward="rounding"), "is for gradient attacks")
    refused(lambda: evaluated(network, few, backward="rounding", search="compiled"), "leave --search compiled out")
    service = robench.Service(network.forward, "rounding-1")
    refused(lambda: evaluated(service, few, ["pgd-20"], backward="rounding"), "a service gives no gradient")


def test_a_normalised_network_reaches_the_function_without_the_normalisation(few):
    def through(network):
        assert isinstance(network, Behind)
        network.change = robench.straight_through(network.change)
        return network

    record = evaluated(Behind(rounded), few, mean=0.1, std=0.9, backward=through).results[0].record
    assert record.robust_accuracy < 2
    assert record.header.backward.startswith("through ")


def test_records_say_which_gradient_and_are_verified_on_the_network_itself(few, tmp_path):
    network = Behind(rounded)
    options = {"results": tmp_path, "save_adversarial": True}
    battery = ["pgd-20", "control"]
    plain = evaluated(network, few, battery, **options)
    given = evaluated(network, few, battery, backward="rounding", **options)
    assert [result.source for result in given.results] == ["computed", "stored"]
    assert given["pgd-20-through-rounding"].robust_accuracy < given["control"].robust_accuracy
    heads = {path.stem.rpartition("-")[0]: read(path)[0] for path in Store(tmp_path).paths()}
    assert {name: head.backward for name, head in heads.items()} == {
        "pgd-20": "", "control": "", "pgd-20-through-rounding": "rounding 1",
    }  # fmt: skip
    assert "backward" not in heads["pgd-20"].dump()
    assert "backward" not in heads["pgd-20"].identity["attack"]
    assert heads["pgd-20-through-rounding"].identity["attack"]["backward"] == "rounding 1"
    again = robench.verify(tmp_path, network)
    assert len(again) == 3
    assert not any(each.faults or each.reason or each.confirmed < each.examples for each in again)
    assert max(each.confirmed for each in again) > 0.8 * N
    assert plain.worst_case.trust.level == "broken"
    records = [result.record for result in (*plain.results, *given.results)]
    assert trust(records).level == "trusted"
    assert [len(each) for each in by_gradient(records)] == [3, 3]


class Noisy(Toy):
    def forward(self, x):
        return super().forward(rounded(x + 0.01 * torch.randn_like(x)))


def test_a_random_network_follows_a_given_gradient_until_no_example_is_left():
    report = robench.evaluate(Noisy(), X, Y, eps=0.5, attacks=["pgd-10"], draws=2, backward="rounding")
    record = report["pgd-10"].result.record
    assert (record.header.backward, record.header.draws) == ("rounding 1", 2)
    assert record.robust_accuracy == 0
    assert record.clean.any()


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_a_robust_network_behind_a_part_is_trusted_with_its_gradient(name, digits):
    few = digits.x[:40], digits.y[:40]
    worst = evaluated(Behind(KINDS[name], "pgdat"), few, ["cascade", "control"], backward=name).worst_case
    assert 40 < worst.robust_accuracy < 85
    assert worst.trust.level == "trusted", worst.trust.sentence()


@pytest.mark.slow
def test_faults_of_the_own_gradient_do_not_count_beside_a_given_one(digits):
    few, battery = (digits.x[:40], digits.y[:40]), ["cascade", "control"]
    runs = [evaluated(Behind(rounded, "pgdat"), few, battery, backward=each) for each in (None, "rounding")]
    assert [run.worst_case.trust.level for run in runs] == ["broken", "trusted"]
    records = [result.record for run in runs for result in run.results]
    assert trust(records).level == "trusted"
    assert trust(records[::-1]).level == "trusted"


def test_a_function_in_memory_is_told_by_its_code_and_by_what_it_has_bound():
    def bound(value, scale=1):
        def function(network):
            return value, network, scale

        return function

    values = (torch.sin, torch.cos, 1.5, torch.zeros(2), torch.ones(2), bound(torch.sin), torch.nn.Linear(2, 2))
    told = [code_digest(bound(value)) for value in values] + [code_digest(bound(1.5, 2))]
    assert len(set(told)) == len(told)
    assert code_digest(bound(1.5)) == code_digest(bound(1.5))
    for function, said in ((partial(bound, 1), "not a plain function"), (bound(object()), "cannot tell from another")):
        with pytest.raises(InputError, match=said):
            code_digest(function)


def test_a_gradient_lends_no_trust_to_what_other_attacks_broke():
    """A hundred examples: the given gradient breaks 40, the network's own, which is not trusted, 30 others."""
    names = ("pgd-20", "mim-20")
    through, own = (planted(name, [5 if at in lost else None for at in range(100)]) for name, lost in
                    zip(names, (range(40), range(40, 70)), strict=True))  # fmt: skip
    fine, bad = {"unfinished": 0.0, "two-classes": 1.0}, {"unfinished": 0.0, "false-gradients": 1.0}
    through.header = through.header.model_copy(update={"backward": "rounding 1", "diagnostics": fine})
    own.header = own.header.model_copy(update={"diagnostics": bad})
    assert trust([through]).level == "trusted"
    assert trust([through, own]).level == "broken"
    own.robust[:] = True
    assert trust([through, own]).level == "trusted"
