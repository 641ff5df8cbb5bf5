"""The registry of defenses is read anew whenever a card changes, and parsed only then."""

import shutil

import pytest

from robench.errors import InputError
from robench.specs import card, card_digests, defenses, digest, find_card, is_registered, list_models
from tests.support.cards import copy_card


@pytest.fixture
def parsed(monkeypatch):
    """The names of defenses whose cards have been parsed."""
    names = []

    def counting(path, content):
        names.append(f"{path.parent.parent.name}/{path.parent.name}")
        return parse(path, content)

    parse = card.parse_card
    monkeypatch.setattr(defenses, "parse_card", counting)
    return names


def test_every_card_is_parsed_once_however_often_it_is_asked_for(checkout, parsed):
    for _ in range(3):
        card_digests()
        assert [find_card(name).name for name in list_models()] == list_models()
    assert sorted(parsed) == list_models()


def test_a_card_that_is_written_meanwhile_is_seen(checkout):
    before = card_digests()
    assert not is_registered("digits/mine")
    copy_card(checkout / "models" / "digits" / "mine")
    assert is_registered("digits/mine") and find_card("mine").name == "digits/mine"
    assert card_digests() == before | {"digits/mine": before["digits/pgdat"]}


def test_a_card_that_is_changed_is_read_again_even_within_the_same_moment(checkout, parsed):
    path = copy_card(checkout / "models" / "digits" / "mine")
    text, seen = path.read_text(), []
    for letter in "abcdef":
        path.write_text(text.replace(find_card("pgdat").sha256, 64 * letter))
        seen.append(card_digests()["digits/mine"])
        assert find_card("mine").sha256 == 64 * letter
        assert seen[-1] == digest(find_card("mine").identity())
    assert len(set(seen)) == len(seen) == parsed.count("digits/mine")


def test_a_card_that_is_removed_is_gone(checkout):
    assert is_registered("digits/pgdat")
    shutil.rmtree(checkout / "models" / "digits" / "pgdat")
    assert not is_registered("digits/pgdat") and "digits/pgdat" not in card_digests()
    with pytest.raises(InputError, match="unknown model 'pgdat'"):
        find_card("pgdat")


NEARLY = ["digits//pgdat", "digits/./pgdat", "digits/../digits/pgdat", "../models/digits/pgdat"]


@pytest.mark.parametrize("name", NEARLY)
def test_a_name_is_taken_only_in_the_spelling_of_the_list(checkout, name):
    assert (checkout / "models" / name / "card.toml").is_file()
    assert not is_registered(name)
    with pytest.raises(InputError, match="unknown model"):
        find_card(name)


def test_a_damaged_card_is_refused_each_time_and_taken_when_it_is_whole_again(checkout):
    path = copy_card(checkout / "models" / "digits" / "mine", ("epochs = 60", "epochs = 0"))
    for _ in range(2):
        with pytest.raises(InputError, match=r"key 'recipe.epochs'"):
            card_digests()
    path.write_text(path.read_text().replace("epochs = 0", "epochs = 60"))
    assert "digits/mine" in card_digests()
