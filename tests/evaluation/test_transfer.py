"""Transfer: crafted once on the substitute, shown to every target."""

import pytest
import torch

import robench
from robench.classifiers import load_model
from robench.data.split import Split
from robench.errors import InputError
from robench.evaluation.request import EvaluationRequest, NetworkUnderTest, Settings, network_identity
from robench.evaluation.transfer import TransferCrafter, as_ensemble
from robench.numerics.ball import Ball
from robench.specs import ThreatModel, find_attack
from tests.support.marks import slow
from tests.support.shell import EVAL
from tests.support.toys import Toy

THREAT = ThreatModel.parse("linf", "0.2")
CPU = torch.device("cpu")


class Counted(torch.nn.Module):
    calls = 0

    def __init__(self, model):
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, x):
        Counted.calls += 1
        return self.model(x)


def under_test(name, model):
    return NetworkUnderTest(name, network_identity(model), lambda: model)


def crafter(split, folder, model, attack="transfer-pgd-20", **settings):
    attacks, substitutes = (find_attack(attack),), (under_test("sub", model),)
    request = EvaluationRequest(under_test("target", model), split, THREAT, attacks, Settings(**settings), substitutes)
    return TransferCrafter(request, folder, CPU)


def points(split, folder, model, attack="transfer-pgd-20", **settings):
    made = crafter(split, folder, model, attack, **settings)
    (spec,) = made.expand(made.request.attacks)
    return made.crafted(spec).points


def test_points_are_in_the_ball_for_all_examples_and_belong_to_them(digits, tmp_path):
    few = digits.limit(12)
    whole = points(few, tmp_path / "a", load_model("pgdat"))
    assert Ball(few.x, "linf", 0.2).contains(whole).all()
    assert (whole != few.x).flatten(1).any(1).all()
    in_pieces = points(few, tmp_path / "b", load_model("pgdat"), chunk_size=7, batch_size=5)
    torch.testing.assert_close(whole, in_pieces, atol=1e-5, rtol=0)
    other_seed = points(few, tmp_path / "a", load_model("pgdat"), seed=1)
    assert not torch.equal(whole, other_seed)
    assert len(list((tmp_path / "a").glob("*.safetensors"))) == 2


def test_examples_are_those_of_their_ids(digits, tmp_path):
    few = digits.limit(20)
    order = torch.arange(19, -1, -1)
    turned = Split(few.name, few.x[order], few.y[order], few.ids[order], few.sha256)
    made = crafter(turned, tmp_path, load_model("pgdat"))
    (spec,) = made.expand(made.request.attacks)
    crafted = made.crafted(spec)
    straight = points(few, tmp_path / "other", load_model("pgdat"))
    torch.testing.assert_close(crafted.of(few.ids[3:9]), straight[3:9], atol=1e-5, rtol=0)


def test_crafted_once_for_every_target(digits, tmp_path):
    source = Counted(load_model("pgdat"))
    few = digits.limit(10)
    options = {"ids": few.ids, "attacks": ["transfer-pgd-20"], "eps": "0.2", "results": tmp_path}
    robench.evaluate(load_model("trades"), few.x, few.y, substitutes={"source": source}, **options)
    calls = Counted.calls
    assert calls > 0
    robench.evaluate(load_model("alp"), few.x, few.y, substitutes={"source": source}, **options)
    assert Counted.calls == calls


def test_from_a_network_to_itself_is_its_white_box_attack_with_the_last_iterate(digits):
    few, model = digits.limit(24), load_model("pgdat")
    last = find_attack("pgd-20").model_copy(update={"name": "last", "success": "last"})
    report = robench.evaluate(
        model, few.x, few.y, ids=few.ids, attacks=["transfer-pgd-20", last], eps="0.2", substitutes={"itself": model}
    )
    verdicts = [report[name].result.record.robust for name in ("transfer-pgd-20-from-itself", "last")]
    assert (verdicts[0] == verdicts[1]).all()
    assert 0 < verdicts[0].sum() < 24


def test_of_an_ensemble_the_mean_of_logits_is_attacked(digits):
    few = digits.limit(10)
    networks = {name: load_model(name) for name in ("pgdat", "alp")}
    one = as_ensemble([under_test(name, network) for name, network in networks.items()])
    assert one.model == "pgdat+alp"
    expected = (networks["pgdat"](few.x) + networks["alp"](few.x)) / 2
    torch.testing.assert_close(one.load()(few.x), expected)
    report = robench.evaluate(
        load_model("trades"), few.x, few.y, attacks=["transfer-mim-20"], eps="0.2", substitutes=networks, ensemble=True
    )
    assert [result.record.header.attack.name for result in report.results] == ["transfer-mim-20-from-pgdat+alp"]


def test_another_substitute_is_another_record(digits, tmp_path):
    few = digits.limit(10)
    hashes = set()
    for name in ("pgdat", "alp"):
        report = robench.evaluate(
            load_model("trades"), few.x, few.y, attacks=["transfer-pgd-20"], eps="0.2", results=tmp_path,
            substitutes={"source": load_model(name)},
        )  # fmt: skip
        hashes.add(report.results[0].record.header.hash)
    assert len(hashes) == 2


def test_every_success_is_judged_and_costs_one_query(digits):
    few = digits.limit(24)
    report = robench.evaluate(
        load_model("standard"), few.x, few.y, attacks=["transfer-pgd-20"], eps="0.2",
        substitutes={"pgdat": load_model("pgdat")},
    )  # fmt: skip
    record = report.results[0].record
    broken = record.clean & ~record.robust
    assert broken.any()
    assert (record.queries[broken] == 1).all()
    assert record.header.forwards == record.clean.sum()
    assert record.header.judge_forwards == broken.sum()


def test_transfer_from_elsewhere_is_no_white_box(digits):
    """Whatever a substitute is called: its weights tell."""
    few, model = digits.limit(20), load_model("pgdat")
    for source, name, finding in (
        (load_model("alp"), "data.Classifier", "no-gradient-attack"),
        (model, "another", "untargeted-only"),
    ):
        report = robench.evaluate(
            model, few.x, few.y, attacks=["transfer-pgd-20"], eps="0.2", substitutes={name: source}
        )
        assert finding in {each.diagnostic.name for each in report.worst_case.trust.findings}


def test_substitutes_of_one_name_are_refused(digits):
    few, two = digits.limit(5), {"a/net": load_model("alp"), "b/net": load_model("trades")}
    with pytest.raises(InputError, match="share the name"):
        robench.evaluate(load_model("pgdat"), few.x, few.y, attacks=["transfer-pgd-20"], eps=0.1, substitutes=two)


@pytest.mark.parametrize(
    ("substitutes", "words"),
    [
        ([Toy()], "by name"),
        ({"": Toy()}, "the name of a substitute"),
        ({"../up": Toy()}, "the name of a substitute"),
        ({"a+b": Toy()}, "joins"),
        ({"a": 5}, "torch.nn.Module"),
        ({"a": robench.Service(len, "s")}, "torch.nn.Module"),
        ({"a": Toy()}, "cannot take"),
        ({"a": Toy().train()}, "training mode"),
    ],
    ids=["list", "empty", "path", "plus", "number", "service", "shape", "training"],
)
def test_substitutes_that_are_none(digits, substitutes, words):
    few = digits.limit(5)
    for ensemble in (False, True):
        with pytest.raises(InputError, match=words):
            robench.evaluate(
                load_model("pgdat"), few.x, few.y, attacks=["transfer-pgd-20"], eps=0.1, substitutes=substitutes,
                ensemble=ensemble,
            )  # fmt: skip


def test_other_content_of_the_same_size_is_found_out(digits, tmp_path):
    few = digits.limit(5)
    points(few, tmp_path, load_model("pgdat"))
    (path,) = tmp_path.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="not what their name says"):
        points(few, tmp_path, load_model("pgdat"))


def test_without_substitutes_there_is_nothing_to_transfer(digits):
    with pytest.raises(InputError, match="substitutes"):
        robench.evaluate(Toy(), torch.rand(4, 1, 4, 4), [0, 1, 2, 3], attacks=["transfer-pgd-20"], eps=0.1)


WHITE_BOX = ["deepfool", "apgd-ce", "feature-attack", "reference-apgd-ce"]
SLOWER = [slow(name) for name in ("fab", "cascade", "autoattack")]


@pytest.mark.parametrize("attack", [*WHITE_BOX, *SLOWER])
def test_any_white_box_attack_crafts(digits, attack):
    few = digits.limit(8)
    spec = find_attack("transfer-pgd-20")
    spec = spec.model_copy(update={"name": "mine", "params": {"attack": attack}})
    report = robench.evaluate(
        load_model("standard"), few.x, few.y, attacks=[spec], eps="0.3", substitutes={"alp": load_model("alp")}
    )
    record = report.results[0].record
    assert record.header.invalid == 0
    assert record.robust_accuracy < record.clean_accuracy


def test_an_attack_of_another_norm_does_not_craft(digits):
    spec = find_attack("transfer-pgd-20").model_copy(update={"name": "mine", "params": {"attack": "cw-l2"}})
    few, substitutes = digits.limit(5), {"pgdat": load_model("pgdat")}
    with pytest.raises(InputError, match="not defined for linf"):
        robench.evaluate(load_model("alp"), few.x, few.y, attacks=[spec], eps=0.1, substitutes=substitutes)


@pytest.mark.parametrize("attack", ["square", "nes-20", "rays"])
def test_only_white_box_attacks_craft(digits, attack):
    spec = find_attack("transfer-pgd-20")
    spec = spec.model_copy(update={"name": "mine", "params": {"attack": attack}})
    few, substitutes = digits.limit(5), {"pgdat": load_model("pgdat")}
    with pytest.raises(InputError, match="no white-box attack; name one"):
        robench.evaluate(load_model("alp"), few.x, few.y, attacks=[spec], eps=0.1, substitutes=substitutes)


def test_damaged_points_are_named(digits, tmp_path):
    few = digits.limit(5)
    points(few, tmp_path, load_model("pgdat"))
    (path,) = tmp_path.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match="damaged"):
        points(few, tmp_path, load_model("pgdat"))


def test_a_matrix_from_the_command_line(cli, tmp_path):
    command = ("eval", "--battery", "transfer", "--limit", 8, "--results", tmp_path)
    said = cli(*command, "--model", "pgdat", "--model", "alp")
    assert said.code == 0
    for source in ("pgdat", "alp"):
        assert said.out.count(f"transfer-mim-20-from-{source} ") == 2
    assert len(list((tmp_path / "raw" / "digits" / "crafted").glob("*.safetensors"))) == 4
    again = cli(*command, "--model", "trades", "--substitute", "pgdat", "--substitute", "alp", "--ensemble")
    assert "transfer-pgd-20-from-pgdat+alp" in again.out


def test_wrong_usage_of_transfer(cli, tmp_path):
    alone = cli("eval", "--battery", "transfer", "--model", "pgdat", "--limit", 5, "--results", tmp_path)
    assert alone.code == 2
    assert "--substitute" in alone.sentence
    idle = cli(*EVAL, "--substitute", "alp", "--results", tmp_path)
    assert idle.code == 2
    assert "--battery transfer" in idle.sentence
