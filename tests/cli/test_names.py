"""A name that robench prints is a name that it takes."""

import re
import shutil

import pytest

from tests.support.groups import evaluated, written


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("names")
    code, data, _ = written(folder)
    for name in ("one", "two"):
        evaluated(code, name, data, "0.05", folder / "results")
    evaluated(code, "one", data, "0.05", folder / "results", "--name", "mine")
    evaluated(code, "two", data, "0.05", folder / "results", "--name", "mine")
    return folder


def printed(place, name):
    (found,) = {path.name for path in (place / "results" / "raw" / "test").iterdir() if path.name.startswith(name)}
    return f"test/{found}"


def commands(name, results):
    return [
        ("report", "--model", name, "--results", results),
        ("diff", name, "net-two", "--results", results),
        ("show", "model", name, "--results", results),
    ]


def test_every_printed_name_is_accepted_everywhere(cli, place):
    full = printed(place, "net-one@")
    assert re.fullmatch(r"test/net-one@[0-9a-f]{8}", full)
    for name in (full, full.partition("@")[0], full.partition("/")[2], "net-one"):
        for command in commands(name, place / "results"):
            said = cli(*command)
            assert (said.code, said.err) == (0, ""), command
            assert full in said.out or command[0] == "diff"


def test_verify_and_publish_take_printed_names(cli, place, tmp_path):
    results = shutil.copytree(place / "results", tmp_path / "results")
    said = cli("verify", "--model", "net-one", "--results", results)
    assert said.code == 3
    assert "no stored adversarial examples" in said.sentence
    assert cli("publish", "--model", printed(place, "net-one@"), "--results", results).code == 0
    assert [path.name.partition("@")[0] for path in results.glob("test/*.jsonl")] == ["net-one"]


def test_a_name_chosen_by_the_user_still_has_its_digest(cli, place):
    said = cli("report", "robustness", "--results", place / "results")
    mine = re.findall(r"^test/mine@[0-9a-f]{8}(?=  )", said.out, re.MULTILINE)
    assert len(set(mine)) == 2
    assert cli("report", "--model", mine[0], "--results", place / "results").code == 0


def test_a_name_that_fits_several_lists_them(cli, place):
    for command in commands("mine", place / "results"):
        said = cli(*command)
        assert said.code == 2
        assert said.sentence.count("test/mine@") == 2


def test_an_unknown_name_is_met_by_the_nearest(cli, place):
    for command in commands("net-onne", place / "results"):
        said = cli(*command)
        assert said.code == 2
        assert "did you mean test/net-one" in said.sentence


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--name", "a/b"), "--name 'a/b' must be"),
        (("--name", "mine", "--model", "pgdat"), "--name mine names one network"),
    ],
)
def test_a_name_must_fit(cli, place, options, words):
    model = f"{place / 'net.py'}:one"
    said = cli("eval", "--model", model, "--dataset", f"npz:{place / 'test.npz'}", "--eps", "0.05", *options)
    assert said.code == 2
    assert words in said.sentence


def test_a_card_keeps_its_name(cli):
    said = cli("eval", "--model", "pgdat", "--name", "mine", "--attack", "fgsm")
    assert said.code == 2
    assert "has its card's name" in said.sentence
