"""The HTML report's data and text: what the tables say, whole, the same every time, safe and valid."""

import base64
import hashlib
import io
import json
import re
import shutil

import html5lib
import numpy as np
import pytest
from PIL import Image

from robench.data import find_dataset
from robench.errors import InputError
from robench.paths import data_root
from robench.report import AttackResult, accuracy_after, load, select, worst_case
from robench.report.page import page_data, render
from robench.report.page.corruptions import grids
from robench.report.page.gallery import gallery, png
from robench.report.sweeps import common, sweeps
from robench.specs import EMBEDDED, digest
from robench.store import read
from robench.store.corrupted import path_of, write_lines
from robench.store.outcome import Result
from tests.support.records import raw_record


def digits_images(dataset, ids):
    return find_dataset(dataset).images(ids)


def never(dataset, ids):
    raise AssertionError("no record holds points")


@pytest.fixture(scope="module")
def committed():
    return load(data_root() / "results")


@pytest.fixture(scope="module")
def selection(committed):
    return select(committed, corrupted=sweeps(data_root() / "results"))


@pytest.fixture(scope="module")
def made(committed, selection):
    return page_data(committed, [selection], never, selection.corrupted)


def of(made, name):
    return next(defense for defense in made["defenses"] if defense["name"] == name)


def unpacked(text, n):
    return np.unpackbits(np.frombuffer(base64.b64decode(text), dtype=np.uint8), count=n).astype(bool)


def test_every_verdict_is_that_of_its_record(made, selection):
    assert [defense["name"] for defense in made["defenses"]] == list(selection.defenses)
    for defense, records in zip(made["defenses"], selection.defenses.values(), strict=True):
        worst = worst_case(records)
        assert defense["worst"]["accuracy"] == pytest.approx(worst.robust_accuracy, abs=1e-4)
        assert (defense["worst"]["low"], defense["worst"]["high"]) == pytest.approx(worst.interval, abs=1e-4)
        assert made["trusts"][defense["worst"]["trust"]]["level"] == worst.trust.level
        assert np.array_equal(unpacked(defense["clean_bits"], defense["n"]), records[0].clean)
        for shown, record in zip(defense["records"], records, strict=True):
            assert made["attacks"][shown["attack"]]["name"] == record.header.attack.name
            assert np.array_equal(unpacked(shown["bits"], defense["n"]), record.robust)
            assert shown["accuracy"] == pytest.approx(record.robust_accuracy, abs=1e-4)


def test_the_canonical_text_of_every_record_has_its_hash(made):
    for defense in made["defenses"]:
        for record in defense["records"]:
            parts = (f'"{key}":{made["texts"][place]}' for key, place in record["identity"].items())
            assert hashlib.sha256(f"{{{','.join(parts)}}}".encode()).hexdigest() == record["hash"]


def at(curve, x):
    """What a staircase says."""
    return [y for each, y in curve["points"] if each <= x][-1]


def test_curves_against_steps_are_what_fewer_steps_leave(made, selection):
    records = {record.header.attack.name: record for record in selection.defenses["digits/pgdat_he"]}
    curves = of(made, "digits/pgdat_he")["curves"]["steps"]
    shown = {curve["attack"]: curve for curve in curves}
    assert "pgd-500" in shown
    assert "pgd-100" not in shown  # the beginning of pgd-500
    for name, curve in shown.items():
        verdict = AttackResult(Result(records[name], "stored", 0, 0, 0.0))
        steps = records[name].header.attack.steps
        assert curve["points"][0] == [0, pytest.approx(verdict.clean_accuracy, abs=1e-4)]
        assert curve["points"][-1][0] == steps
        for step in {0, 1, 2, 7, 20, 77, steps} & set(range(steps + 1)):
            assert at(curve, step) == pytest.approx(verdict.accuracy_after(step), abs=1e-4), (name, step)


def test_curves_against_queries_are_those_of_the_table(made, selection):
    records = {record.header.attack.name: record for record in selection.defenses["digits/pgdat_he"]}
    curves = of(made, "digits/pgdat_he")["curves"]["queries"]
    assert {curve["attack"] for curve in curves} == {"square", "nes-80", "spsa-80", "zoo", "rays", "control"}
    for curve in curves:
        for asked in (1, 10, 99, 1000, 5000):
            expected = accuracy_after(records[curve["attack"]], asked)
            assert at(curve, asked) == pytest.approx(expected, abs=1e-4), (curve["attack"], asked)


def test_curves_against_eps_need_several_of_them(cli, results):
    def curves():
        records = load(results)
        return page_data(records, [select(records)], digits_images)["defenses"][0]["curves"]["eps"]

    assert curves() == []
    small = ("eval", "--model", "pgdat", "--attack", "pgd-20", "--limit", 20, "--results", results)
    assert cli(*small, "--eps", "0.05").code == cli(*small, "--eps", "3/10").code == 0
    assert cli(*small, "--eps", "0.1", "--seed", 1).code == 0  # another seed is another curve
    (curve,) = curves()
    found = {r.header.threat.eps: r.robust_accuracy for r in load(results) if r.header.attack.name == "pgd-20"}
    assert curve["written"] == ["0", "0.05", "0.2", "3/10"]
    assert curve["points"][1:] == [[eps, pytest.approx(found[eps], abs=1e-4)] for eps in (0.05, 0.2, 0.3)]


def test_corruptions_are_those_of_the_very_weights(made, tmp_path):
    found = sweeps(data_root() / "results")
    sweep = common(found)["digits/pgdat"]
    (grid,) = of(made, "digits/pgdat")["corruptions"]
    assert (grid["origin"], len(grid["rows"])) == ("generated", 15)
    assert grid["mean"] == pytest.approx(sweep.mca, abs=1e-4)
    assert {row["name"]: row["mean"] for row in grid["rows"]} == pytest.approx(sweep.means, abs=1e-4)
    assert grids(found["digits/pgdat"], "digits") == [grid]
    assert grids(found["digits/pgdat"], "cifar10") == []
    older = sweep.head.identity["model"] | {"weights": "0" * 64}
    stale = [line.model_copy(update={"identity": {**line.identity, "model": older}}) for line in sweep.lines]
    stale = [line.model_copy(update={"hash": digest(line.identity)}) for line in stale]
    write_lines(path_of(tmp_path, "digits", "digits/pgdat"), [*sweep.lines, *stale])
    assert common(sweeps(tmp_path))["digits/pgdat"].lines == sweep.lines


def test_a_folder_with_corruptions_alone_says_what_is_missing(cli, tmp_path):
    shutil.copytree(data_root() / "results" / "digits" / "corruptions", tmp_path / "digits" / "corruptions")
    said = cli("report", "--format", "html", "--results", tmp_path)
    assert (said.code, said.out) == (3, "")
    assert "robench eval" in said.sentence
    assert cli("report", "corruptions", "--results", tmp_path).code == 0


# ---- Pictures ----


def pixels(uri):
    image = Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,"))))
    return np.asarray(image, dtype=np.int64)


def test_the_gallery_shows_what_the_judge_confirmed(results, digits):
    shown = gallery(load(results), digits_images)
    assert shown["note"] == ""
    assert {each["attack"] for each in shown["attacks"]} == {"pgd-20", "mim-20"}
    for each in shown["attacks"]:
        _, rows = read(raw_record(results, each["attack"]))
        assert each["examples"]
        for example in each["examples"]:
            place = rows.id.tolist().index(example["id"])
            original = digits.x[digits.ids == example["id"]][0, 0].numpy()
            point = np.frombuffer(rows.adversarial[place], "<f4").reshape(8, 8)
            clean, change, adversarial = map(pixels, example["images"])
            assert np.array_equal(clean, np.rint(255 * original))
            assert np.array_equal(adversarial, np.rint(255 * point))
            assert np.array_equal(change > 128, point - original > example["largest"] / 255)
            assert example["label"] == example["clean_prediction"] == rows.label[place]
            assert example["prediction"] == rows.prediction[place] != example["label"]


def test_pictures_keep_their_colours():
    picture = np.random.default_rng(0).random((3, 5, 4))
    assert np.array_equal(pixels(png(picture)), np.rint(255 * picture).transpose(1, 2, 0))


def test_without_points_the_gallery_says_how_to_get_some(made):
    note = of(made, "digits/pgdat")["gallery"]["note"]
    assert "robench eval --model digits/pgdat" in note
    assert "--save-adversarial" in note


def absent(dataset, ids):
    raise InputError("put them there.")


@pytest.mark.parametrize(
    ("clean", "why"),
    [
        (absent, "put them there."),
        (lambda dataset, ids: digits_images(dataset, ids)[::-1], "another image"),
        (lambda dataset, ids: digits_images(dataset, ids)[:, :, 1:], "another shape"),
    ],
)
def test_without_the_clean_images_the_gallery_says_why(results, clean, why):
    shown = gallery(load(results), clean)
    assert shown["attacks"] == []
    assert why in shown["note"]


def test_a_dataset_gives_the_images_of_ids(digits):
    ids = digits.ids[[3, 1, 539]].numpy()
    assert np.array_equal(find_dataset(EMBEDDED).images(ids), digits.x[[3, 1, 539]].numpy())
    with pytest.raises(InputError, match="no test example 1797"):
        find_dataset(EMBEDDED).images(np.array([0, 1797]))


# ---- The file ----


def parsed(text):
    """Parsed as browsers do; any error of HTML's grammar raises."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    return parser.parse(text)


def embedded(tree):
    (script,) = tree.findall(".//script[@id='data']")
    return json.loads(script.text)


def test_the_page_is_valid_and_carries_its_data(made):
    tree = parsed(render(made))
    assert embedded(tree) == json.loads(json.dumps(made))
    ids = [element.get("id") for element in tree.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    for label in tree.findall(".//label"):
        assert label.get("for") in ids
    for link in tree.findall(".//a"):
        assert link.get("href").removeprefix("#") in ids


def test_nothing_in_the_page_points_outside(made):
    for element in parsed(render({**made, "defenses": []})).iter():
        for name in ("src", "href", "action", "data", "poster"):
            assert re.match(r"#|data:,|$", element.get(name) or ""), element.attrib
    assert "url(" not in render(made)
    assert "@import" not in render(made)


@pytest.mark.parametrize(
    "evil", ["</script><script>alert(1)</script>", "<!--<script>", "{{script}}", "\u2028 & \\u003c"]
)
def test_no_text_can_leave_its_place(made, evil):
    defenses = [{**made["defenses"][0], "name": evil, "about": evil}]
    tree = parsed(render({**made, "defenses": defenses}))
    assert len(tree.findall(".//script")) == 2
    assert embedded(tree)["defenses"][0]["about"] == evil
    assert tree.find(".//h1").text == f"Robustness of {evil}"


def test_the_same_records_make_the_same_bytes(cli, results, tmp_path):
    command = ("report", "--format", "html", "--results", results)
    said = cli(*command, "--out", tmp_path / "a.html")
    assert (said.code, said.err, said.out) == (0, "", f"wrote {tmp_path / 'a.html'}\n")
    assert cli(*command).out.encode() == (tmp_path / "a.html").read_bytes()


def test_a_table_alone_stays_a_fragment(cli, results):
    said = cli("report", "robustness", "--format", "html", "--results", results)
    assert said.out.startswith("<table>")


def test_the_page_shows_what_was_asked_for(cli, results):
    shown = cli("report", "--format", "html", "--results", results, "--battery", "quick", "--model", "pgdat")
    (defense,) = embedded(parsed(shown.out))["defenses"]
    assert defense["name"] == "digits/pgdat"
    assert cli("report", "--format", "html", "--results", results, "--battery", "fast").code == 3
