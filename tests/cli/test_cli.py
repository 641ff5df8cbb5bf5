"""The command line as a user meets it: what is declared, wrong usage, pipes."""

import json
from importlib.util import find_spec

import pytest

from robench.algorithms.pgd import PGD
from robench.data import DATASETS
from robench.data.published import PUBLISHED
from robench.report import FORMATS
from robench.specs import battery_attacks, find_attack, list_attacks, list_batteries, list_models
from tests.support.shell import EVAL, SMALL

# ---- list, show, doctor ----

LISTS = {
    "models": list_models, "attacks": list_attacks, "batteries": list_batteries,
    "datasets": lambda: [*DATASETS, *PUBLISHED],
}  # fmt: skip


@pytest.mark.parametrize("kind", LISTS)
def test_list_names_everything_that_is_declared(cli, kind):
    said = cli("list", kind)
    assert (said.code, said.err) == (0, "")
    assert [line.split()[0] for line in said.out.splitlines()[4:] if line] == LISTS[kind]()


@pytest.mark.parametrize("kind", LISTS)
def test_list_json_is_only_json(cli, kind):
    said = cli("list", kind, "--json")
    assert [row["name"] for row in json.loads(said.out)] == LISTS[kind]()


def test_show_model_prints_its_card_and_its_published_verdicts(cli):
    said = cli("show", "model", "pgdat_he")
    assert said.code == 0
    assert 'kind = "he"' in said.out
    assert "worst case" in said.out


def test_show_attack_prints_its_whole_stanza(cli):
    assert json.loads(cli("show", "attack", "pgd-20").out) == find_attack("pgd-20").model_dump()


def test_show_battery_prints_its_attacks_in_order(cli):
    lines = cli("show", "battery", "whitebox").out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [spec.name for spec in battery_attacks("whitebox")]


def test_doctor_names_versions_device_data_and_models(cli, tmp_path):
    said = cli("doctor", "--results", tmp_path)
    assert said.code == 0
    for words in ("python", "torch", "cpu", "gpu", "checksum holds", *list_models(), str(tmp_path)):
        assert words in said.out
    assert "PROBLEM" not in said.out


# ---- Wrong usage ----

RAY = [] if find_spec("ray") else ["not installed", "pip install 'robench[ray]'"]
"""What the engine ray is answered with where Ray is missing, whatever else is wrong."""
WRONG = [
    ([*EVAL, "--batch-size", "²"], ["--batch-size", "²", "auto"]),
    (["check", "--max-drop", "nan"], ["--max-drop", "nan"]),
    ([*EVAL, "--ray-address", "auto"], ["auto", "--engine ray"]),
    ([*EVAL, "--engine", "ray", "--ray-address", "127.0.0.1:1"], RAY or ["nothing answers", "127.0.0.1:1"]),
    ([*EVAL, "--engine", "ray", "--ray-address", "head"], RAY or ["'head'", "host:port"]),
    ([*EVAL, "--engine", "ray", "--device", "cuda:1"], RAY or ["--device", "cuda:1", "cuda"]),
    ([*EVAL, "--norm", "l3", "--eps", "0.1"], ["--norm", "l3", "linf", "l2"]),
    (["report", "table2", "--dataset", "cifar11"], ["cifar11", "cifar10"]),
    (["report", "--format", "csv"], ["CSV", "robustness", "overestimate"]),
]
"""Others are in `test_wrong_inputs.py`."""


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda value: " ".join(map(str, value))[-40:])
def test_wrong_usage_is_one_sentence_and_exit_2(cli, tmp_path, arguments, words):
    said = cli(*arguments, *(["--results", tmp_path] if arguments[0] == "eval" else []))
    assert said.code == 2
    assert said.out == ""
    for word in words:
        assert word.lower() in said.sentence.lower()


@pytest.mark.parametrize("arguments", [["--help"], ["eval", "-h"], ["list", "models", "--help"]])
def test_help_is_no_error(cli, arguments):
    said = cli(*arguments)
    assert (said.code, said.err) == (0, "")
    assert "Usage" in said.out


def test_an_internal_fault_is_shown_whole_and_exits_4(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(PGD, "step", lambda self, state, t, task: 1 / 0)
    said = cli(*EVAL, "--results", tmp_path)
    assert said.code == 4
    assert "Traceback" in said.err
    assert said.err.splitlines()[-1].startswith("robench: internal fault (ZeroDivisionError)")


# ---- Pipes ----

PLAIN = [
    ["list", "attacks"],
    ["list", "models", "--json"],
    ["show", "model", "pgdat"],
    ["report", "--results", "RESULTS"],
    *(["report", "--results", "RESULTS", "--format", name] for name in FORMATS),
    ["verify", "--results", "RESULTS"],
    [*SMALL, "--results", "RESULTS"],
    [*SMALL, "--seed", 1, "--results", "RESULTS", "--json", "-"],
    ["eval", "--model", "nobody"],
]


@pytest.mark.parametrize("arguments", PLAIN, ids=lambda arguments: " ".join(map(str, arguments))[-40:])
def test_no_colour_codes_in_a_pipe(cli, results, arguments):
    said = cli(*(results if argument == "RESULTS" else argument for argument in arguments))
    assert said.out + said.err
    assert "\x1b" not in said.out + said.err
