"""Unknown names, malformed cards and stanzas, eps: one clear sentence, the right exit code, nothing lost.

The numbers are those of the list of faults.
"""

import re

import pytest

from robench.errors import InputError
from robench.specs import ThreatModel, catalog, list_models
from tests.support.cards import copy_card
from tests.support.shell import EVAL
from tests.support.toys import cut, refused

# ---- 17: unknown names ----

UNKNOWN = [
    (["eval", "--model", "pgdta"], "model", "digits/pgdat"),
    (["eval", "--model", "PGDAT"], "model", "digits/pgdat"),
    (["eval", "--model", "cifar10/pgdat_h"], "model", "cifar10/pgdat_he"),
    (["eval", "--model", "pgdat", "--attack", "pgd20"], "attack", "pgd-20"),
    (["eval", "--model", "pgdat", "--battery", "papr"], "battery", "paper"),
    (["eval", "--model", "pgdat", "--dataset", "digit"], "dataset", "digits"),
    (["train", "--model", "standrad"], "model", "digits/standard"),
    (["show", "model", "pgdat-he"], "model", "digits/pgdat_he"),
    (["show", "attack", "mim20"], "attack", "mim-20"),
    (["show", "battery", "quik"], "battery", "quick"),
    (["check", "--model", "pgdta"], "model", "digits/pgdat"),
    (["check", "--model", "pgdat", "--battery", "quik"], "battery", "quick"),
    (["diff", "pgdat", "pgdta"], "model", "digits/pgdat"),
    (["report", "robustnes"], "table", "robustness"),
    (["report", "--model", "pgda"], "model", "digits/pgdat"),
    (["publish", "--model", "pgda"], "model", "digits/pgdat"),
    (["verify", "--model", "pgda"], "model", "digits/pgdat"),
]


@pytest.mark.parametrize(("arguments", "kind", "nearest"), UNKNOWN, ids=lambda v: " ".join(v) if type(v) is list else v)
def test_an_unknown_name_suggests_the_nearest(cli, arguments, kind, nearest):
    said = cli(*arguments)
    assert said.code == 2
    assert f"unknown {kind} '{arguments[-1]}'" in said.sentence
    assert re.search(rf"did you mean [^?]*\b{nearest}\b", said.sentence)


@pytest.mark.parametrize("command", [["diff", "pgdat", "alp"], ["report"]], ids=" ".join)
def test_a_closed_choice_lists_its_values(cli, command):
    said = cli(*command, "--format", "latx")
    assert said.code == 2
    assert "'latx' is not one of 'md', 'csv', 'latex'" in said.sentence


def test_an_unknown_name_like_no_other_lists_the_known(cli):
    said = cli("eval", "--model", "zzz")
    assert "known: digits/alp, digits/alp_he, " in said.sentence
    assert f"({len(list_models())} in all)" in said.sentence


def test_a_path_that_is_not_there_is_named(cli, tmp_path):
    said = cli("eval", "--model", tmp_path / "card.toml")
    assert said.code == 2
    assert f"cannot read '{tmp_path / 'card.toml'}'" in said.sentence


# ---- 18: malformed cards and stanzas ----

CARDS = {
    "an unknown key": (("momentum = 0.9", "momentun = 0.9"), ["recipe.momentun"]),
    "a missing key": (('dataset = "digits"', ""), ["'dataset'", "required"]),
    "a word for a number": (("epochs = 60", 'epochs = "many"'), ["recipe.epochs", "integer"]),
    "out of range": (("lr = 0.1", "lr = -0.1"), ["recipe.lr", "greater than 0"]),
    "no such choice": (('schedule = "one_cycle"', 'schedule = "bicycle"'), ["recipe.schedule", "one_cycle"]),
    "no TOML": (("[architecture]", "[architecture"), ["not valid TOML"]),
    "means and deviations": (("std = [0.3761]", "std = [0.3761, 1.0]"), ["input.std", "1 values"]),
    "too many channels": (("mean = [0.3055]\nstd = [0.3761]", "mean = [0, 0]\nstd = [1, 1]"), ["input.mean", "1"]),
    "no deviation": (("std = [0.3761]", "std = [0.0]"), ["input.std"]),
    "an unknown dataset": (('dataset = "digits"', 'dataset = "digitz"'), ["dataset", "digitz", "digits"]),
    "an unknown architecture": (('"convnet"', '"convnett"'), ["architecture.name", "convnett", "convnet"]),
    "an unknown argument": (("features = 64", "featuers = 64"), ["architecture.args", "featuers"]),
    "an argument out of range": (("features = 64", "features = -1"), ["architecture.args"]),
    "uneven arguments": (("strides = [1, 2, 1, 2]", "strides = [1, 2]"), ["architecture.args"]),
}


@pytest.mark.parametrize("what", CARDS)
def test_a_malformed_card_names_file_key_and_what_is_expected(cli, tmp_path, what):
    change, words = CARDS[what]
    card = copy_card(tmp_path / "mine", change)
    refused(cli, card, str(card), *words)


def test_arccos_without_cosines_names_file_and_key(cli, tmp_path):
    changes = ('angular = "cos"', 'angular = "arccos"'), ("fn = true", "fn = false")
    card = copy_card(tmp_path / "mine", *changes, model="pgdat_he")
    refused(cli, card, str(card), "head", "arccos", "fn")


STANZA = """[mine]
algorithm = "pgd"
steps = 3
params = { rel_step = 0.1 }
about = "of the test"
cite = "none"
"""

STANZAS = {
    "an unknown key": (("steps", "stepz = 1\nsteps"), ["'stepz'"]),
    "a missing key": (("steps = 3", ""), ["'steps'", "required"]),
    "no step": (("steps = 3", "steps = 0"), ["'steps'", "greater than 0"]),
    "a word for a number": (("steps = 3", 'steps = "few"'), ["'steps'", "integer"]),
    "a fraction by zero": (("0.1", '"3/0"'), ["rel_step", "3/0", "fraction"]),
    "no such access": (("steps", 'access = "all"\nsteps'), ["'access'", "gradient", "decision"]),
    "access of another algorithm": (("steps", 'access = "score"\nsteps'), ["'access'", "gradient"]),
    "no such success": (("steps", 'success = "maybe"\nsteps'), ["'success'", "any", "last"]),
    "an unknown algorithm": (('"pgd"', '"pdg"'), ["algorithm", "'pdg'", "pgd"]),
    "an unknown parameter": (("rel_step", "relstep"), ["params"]),
    "a parameter in words": (("0.1", '"big"'), ["params.rel_step", "number"]),
    "a parameter NaN": (("0.1", "nan"), ["rel_step"]),
    "an objective misspelt": (("0.1", '0.1, objective = "ec"'), ["params.objective", "ce"]),
    "no TOML": (("[mine]", "[mine"), ["not valid TOML"]),
    "a key outside every stanza": (("[mine]", "loose = 1\n[mine]"), ["loose"]),
    "an unknown base": (("algorithm", 'base = "pdg-20"\nalgorithm'), ["'base'", "'pdg-20'", "pgd-20"]),
    "a base with a base": (("algorithm", 'base = "scaled-pgd-20"\nalgorithm'), ["'base'", "scaled-pgd-20", "'pgd-20'"]),
    "a base and params in words": (
        ('algorithm = "pgd"\nsteps = 3\nparams = { rel_step = 0.1 }', 'base = "pgd-20"\nparams = "none"'),
        ["params", "dict"],
    ),
    "declared twice": (("[mine]", "[pgd-20]"), ["'pgd-20'", "twice"]),
}


@pytest.mark.parametrize("what", STANZAS)
def test_a_malformed_stanza_names_file_key_and_what_is_expected(cli, checkout, tmp_path, what):
    (old, new), words = STANZAS[what]
    path = checkout / "attacks" / "zz.toml"
    path.write_text(STANZA.replace(old, new))
    said = cli("eval", "--model", "pgdat", "--attack", "mine", "--limit", 5, "--results", tmp_path / "results")
    assert said.code == 2
    for word in (str(path), *words):
        assert word in said.last


def test_the_stanza_itself_is_sound(cli, checkout, tmp_path):
    (checkout / "attacks" / "mine.toml").write_text(STANZA)
    assert cli("eval", "--model", "pgdat", "--attack", "mine", "--limit", 5, "--results", tmp_path / "r").code == 0


def test_a_base_gives_what_a_stanza_does_not_say(checkout):
    text = '[mine]\nbase = "pgd-20"\nsteps = 7\nparams = { objective = "margin" }\nabout = "of the test"\n'
    (checkout / "attacks" / "mine.toml").write_text(text)
    mine, base = catalog.find_attack("mine"), catalog.find_attack("pgd-20")
    assert (mine.name, mine.steps, mine.about) == ("mine", 7, "of the test")
    assert mine.params == {**base.params, "objective": "margin"}
    assert (mine.algorithm, mine.cite) == (base.algorithm, base.cite)


BATTERIES = {
    "an unknown attack": ('attacks = ["pgd20"]', ["'pgd20'", "pgd-20"]),
    "an unknown battery": ('includes = ["quik"]', ["'quik'", "quick"]),
    "itself": ('includes = ["mine"]', ["includes"]),
    "an unknown key": ("atacks = []", ["'atacks'"]),
    "a word for a list": ('attacks = "pgd-20"', ["'attacks'", "list"]),
}


@pytest.mark.parametrize("what", BATTERIES)
def test_a_malformed_battery_names_file_and_key(cli, checkout, what):
    line, words = BATTERIES[what]
    path = checkout / "attacks" / "batteries.toml"
    path.write_text(f'{path.read_text()}\n[mine]\nabout = "of the test"\n{line}\n')
    said = cli("show", "battery", "mine")
    assert said.code == 2
    for word in (str(path), "mine", *words):
        assert word in said.last


def test_a_card_in_another_datasets_folder_is_refused(cli, checkout):
    card = copy_card(checkout / "models" / "cifar10" / "mine")
    said = cli("show", "model", "cifar10/mine")
    assert said.code == 2
    for word in (str(card), "'dataset'", "'cifar10'"):
        assert word in said.sentence


def test_doctor_names_every_defense_that_is_broken_and_goes_on(cli, checkout, tmp_path):
    copy_card(checkout / "models" / "digits" / "broken", ("epochs = 60", "epochs = 0"))
    cut(checkout / "models" / "digits" / "standard" / "weights.safetensors")
    lines = cli("doctor", "--results", tmp_path / "results").out.splitlines()
    about = {line[:22].strip(): line for line in lines}
    assert "PROBLEM" in about["model digits/broken"]
    assert "recipe.epochs" in about["model digits/broken"]
    assert "PROBLEM" in about["model digits/standard"]
    assert "checksum holds" in about["model digits/pgdat"]


# ---- 20: eps ----

EPS = {
    "8/255": 8 / 255,
    "0.0313": 0.0313,
    " 8 / 255 ": 8 / 255,
    "1e-2": 0.01,
    "1": 1.0,
}


@pytest.mark.parametrize("text", EPS)
def test_eps_is_read_as_written(text):
    threat = ThreatModel.parse("linf", text)
    assert threat.eps == pytest.approx(EPS[text], rel=1e-15)
    assert threat.text == text.strip()


NO_EPS = {
    "8": "did you mean 8/255?",
    "16": "did you mean 16/255?",
    "-1": "must be positive",
    "0": "must be positive",
    "nan": "8/255",
    "inf": "8/255",
    "1e9": "too large",
    "300": "too large",
    "1e-400": "must be positive",
    "1/0": "8/255",
    "1/2/3": "8/255",
    "eight": "8/255",
    "": "8/255",
}


@pytest.mark.parametrize("text", NO_EPS)
def test_an_eps_that_makes_no_sense_is_refused_with_a_hint(cli, tmp_path, text):
    said = cli(*EVAL, "--eps", text, "--results", tmp_path)
    assert said.code == 2
    assert f"eps '{text}'" in said.sentence
    assert NO_EPS[text] in said.sentence
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("eps", [8, 8.0, -1.0, float("nan"), float("inf"), None, [0.1]])
def test_an_eps_that_makes_no_sense_is_refused_in_python(eps):
    with pytest.raises(InputError):
        ThreatModel.parse("linf", eps)


def test_eps_zero_point_five_is_fine_for_l2_and_nine_thousand_is_not():
    assert ThreatModel.parse("l2", "0.5").eps == 0.5
    with pytest.raises(InputError, match="too large for l2"):
        ThreatModel.parse("l2", "9000")
