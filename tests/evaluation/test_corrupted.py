"""Accuracy on corrupted images: records, resume, tables, the command line."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from robench.classifiers import load_model
from robench.corruptions import corrupt, corruptions
from robench.data.corrupted import COMMON
from robench.errors import InputError
from robench.evaluation.corruptions import Generated, Published, RotatedTranslated, evaluate
from robench.evaluation.request import NetworkUnderTest, Settings
from robench.report.corruptions import MCA, as_json, every_cell, mean_row, means, settings
from robench.report.paper import VerdictSource, View, paper_table
from robench.report.publish import publish_corrupted
from robench.report.sweeps import Sweep, common, comparable, spatial, sweeps
from robench.specs import digest, find_card
from robench.specs.corruption import find_corruption
from robench.store.corrupted import CLEAN, path_of, read_corrupted, read_lines, write_lines
from tests.support.seals import unsealed_lines

FEW = ("gaussian_noise", "contrast")


class Two(Generated):
    """Two corruptions, counted."""

    made = 0

    def __init__(self, split):
        super().__init__(split)
        self.corruptions = list(FEW)

    def views(self, split, corruption, severity, seed):
        Two.made += 1
        return super().views(split, corruption, severity, seed)


@pytest.fixture
def few(digits):
    return digits.limit(24)


def run(few, folder, source=None, **settings):
    under_test = NetworkUnderTest.of_card(find_card("pgdat"))
    return evaluate(under_test, few, source or Two(few), Settings(device="cpu", **settings), folder)


def swept(lines):
    return Sweep(tuple(lines))


def test_verdicts_are_those_of_the_network_on_the_generators_images(few, tmp_path):
    lines = Sweep(tuple(run(few, tmp_path))).cells
    model = load_model("pgdat")
    assert (lines[CLEAN, 0].verdicts == (model(few.x).argmax(1) == few.y).numpy()).all()
    for name in FEW:
        for severity in range(1, 6):
            images = corrupt(few.x, name, severity, few.ids, 0)
            assert (lines[name, severity].verdicts == (model(images).argmax(1) == few.y).numpy()).all()


def test_the_same_call_computes_nothing_and_an_interrupted_one_goes_on(few, tmp_path, monkeypatch):
    whole = run(few, tmp_path / "whole")
    Two.made = 0
    again = run(few, tmp_path / "whole")
    assert Two.made == 0
    assert again == whole

    class Stopped(Two):
        def views(self, split, corruption, severity, seed):
            if corruption == FEW[1]:
                raise KeyboardInterrupt
            return super().views(split, corruption, severity, seed)

    with pytest.raises(KeyboardInterrupt):
        run(few, tmp_path / "broken", Stopped(few))
    kept = list(read_corrupted(tmp_path / "broken"))
    assert [(line.corruption, line.severity) for line in kept] == [(CLEAN, 0), *((FEW[0], s) for s in range(1, 6))]
    Two.made = 0
    resumed = run(few, tmp_path / "broken")
    assert Two.made == 5
    assert [line.correct for line in resumed] == [line.correct for line in whole]


def test_other_seeds_and_examples_are_other_lines(few, tmp_path):
    hashes = {line.hash for line in run(few, tmp_path)}
    hashes |= {line.hash for line in run(few, tmp_path, seed=1)}
    hashes |= {line.hash for line in run(few.limit(12), tmp_path)}
    assert len(hashes) == 33
    assert len(list(read_corrupted(tmp_path))) == 33


class Set:
    """A published set, planted."""

    name = "digits-c"
    family = COMMON

    def __init__(self, split):
        self.split, self.corruptions = split, list(FEW)

    def load(self, corruption, severity, limit=None, ids=None):
        return replace(self.split, x=1 - self.split.x)

    def fingerprint(self, corruption, limit=None, ids=None):
        return corruption

    def describe(self):
        return "planted"


def test_what_was_published_is_never_merged_with_what_is_generated(few, tmp_path):
    generated, published = run(few, tmp_path), run(few, tmp_path, Published(Set(few)))
    assert {line.origin for line in generated} == {"generated"}
    assert {line.origin for line in published} == {"published"}
    assert not {line.hash for line in generated} & {line.hash for line in published}
    assert "generated" in means({"pgdat": swept(generated)}).notes[0]
    assert "published" in means({"pgdat": swept(published)}).notes[0]


def test_other_files_of_a_published_set_are_other_lines(few, tmp_path, monkeypatch):
    found = Set(few)
    hashes = {line.hash for line in run(few, tmp_path, Published(found))}
    monkeypatch.setattr(found, "fingerprint", lambda corruption, *which: f"another {corruption}")
    again = {line.hash for line in run(few, tmp_path, Published(found))}
    assert len(hashes & again) == 1  # the clean split


def test_a_published_set_of_other_examples_is_refused(few, tmp_path):
    turned = replace(few, ids=few.ids.flip(0))
    with pytest.raises(InputError, match="holds other examples"):
        run(few, tmp_path, Published(Set(turned)))


def test_the_rule_for_small_grey_images_stands_below_the_numbers(few, tmp_path):
    table = means({"pgdat": swept(run(few, tmp_path))})
    assert "corrupted at 32 x 32 pixels in RGB and brought back" in table.notes[0]


def test_means_are_means(few, tmp_path):
    lines = run(few, tmp_path)
    sweep = swept(lines)
    row = mean_row(sweep)
    for name in FEW:
        assert row[name] == pytest.approx(np.mean([100 * sweep.cells[name, s].verdicts.mean() for s in range(1, 6)]))
    assert list(every_cell({"pgdat": sweep}).rows) == [f"pgdat, {s}" for s in range(1, 6)]
    assert len(as_json(lines)) == 11


def test_the_mean_of_all_needs_all(few, tmp_path):
    """Neither two corruptions nor four severities of one make a mean."""
    sweep = swept(run(few, tmp_path))
    assert not sweep.complete
    assert MCA not in means({"pgdat": sweep}).rows["pgdat"]
    broken = swept(sweep.lines[:-1])
    assert FEW[1] not in mean_row(broken)
    assert FEW[0] in mean_row(broken)


def test_a_complete_sweep_goes_before_a_longer_unfinished_one(digits, tmp_path):
    run(digits.limit(3), tmp_path, Generated(digits.limit(3)))
    run(digits.limit(24), tmp_path)
    (sweep,) = sweeps(tmp_path)["digits/pgdat"]
    assert (sweep.complete, sweep.head.n) == (True, 3)
    row = mean_row(sweep)
    assert row[MCA] == pytest.approx(np.mean([row[name] for name in corruptions()]))


def test_rotations_and_corruptions_of_other_sizes_stand_beside_each_other(digits, tmp_path):
    run(digits.limit(20), tmp_path, RotatedTranslated())
    run(digits.limit(60), tmp_path)
    run(digits.limit(40), tmp_path, seed=1)
    found = sweeps(tmp_path)
    assert {(each.kind, each.head.n, each.head.seed) for each in found["digits/pgdat"]} == {
        ("spatial", 20, 0), ("common", 60, 0),
    }  # fmt: skip
    assert common(found)["digits/pgdat"].head.n == 60
    assert spatial(found)["digits/pgdat"].head.n == 20
    assert spatial(found)["digits/pgdat"].cells[CLEAN, 0].n == 20


def test_networks_of_one_name_are_never_mixed(few, tmp_path):
    subjects = [NetworkUnderTest("data/Mine", {"weights": mark * 8}, lambda: load_model("pgdat")) for mark in "ab"]
    for under_test in subjects:
        evaluate(under_test, few, Two(few), Settings(device="cpu"), tmp_path)
    lines = list(read_corrupted(tmp_path))
    assert len(lines) == 22
    (sweep,) = sweeps(tmp_path)["data/Mine"]
    assert len({digest(line.identity["model"]) for line in sweep.lines}) == 1


def test_only_numbers_of_one_setting_are_compared(digits, tmp_path):
    few, fewer = digits.limit(30), digits.limit(20)
    made = {
        name: swept(
            evaluate(NetworkUnderTest.of_card(find_card(name)), split, Two(split), Settings(device="cpu"), tmp_path)
        )
        for name, split in (("pgdat", few), ("alp", few), ("pgdat_he", fewer))
    }
    kept, others = comparable(made)
    assert (list(kept), others) == (["pgdat", "alp"], ["pgdat_he"])
    assert "pgdat, alp: digits, generated, 30 examples" in settings(made)
    source = VerdictSource("digits", tmp_path)
    assert paper_table("corruption-differences", source, View()).rows == {}
    assert "pgdat_he" in paper_table("table5", source, View()).notes[1]


def test_a_network_that_fails_on_corrupted_images_is_named(few, tmp_path):
    class Fails(torch.nn.Module):
        """NaN where an image is bright."""

        def forward(self, x):
            logits = torch.zeros(len(x), 10)
            logits[x.mean((1, 2, 3)) > 0.6] = float("nan")
            return logits

    under_test = NetworkUnderTest("data/Fails", {"weights": "f"}, lambda: Fails().eval())
    with pytest.raises(InputError, match=r"NaN or infinite logits .* under \w+ \d \(ids"):
        evaluate(under_test, few, Generated(few), Settings(device="cpu"), tmp_path)


def test_what_is_published_is_complete_and_runs_stay_apart(few, tmp_path):
    run(few, tmp_path)
    assert publish_corrupted(tmp_path) == []
    run(few, tmp_path, Generated(few))
    (path,) = publish_corrupted(tmp_path)
    assert path == path_of(tmp_path, "digits", "digits/pgdat")
    assert len(list(read_lines(path))) == 76
    path_of(tmp_path / "raw", "digits", "digits/pgdat").unlink()
    Two.made = 0
    run(few, tmp_path)
    assert Two.made == 0  # published verdicts are not computed again


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: line[:-20], "not a record"),
        (lambda line: "[]", "not a record"),
        (lambda line: line.replace('"schema":1', '"schema":9'), "update robench"),
        (lambda line: line.replace('"seed":0', '"seed":1', 1), "hash"),
        (lambda line: line.replace('"severity":0', '"severity":3'), "hash"),
        (lambda line: line.replace('"correct":"', '"correct":"f'), "damaged verdicts"),
    ],
    ids=["cut", "a list", "newer", "another seed", "another severity", "bits"],
)
def test_damaged_lines_are_named(few, tmp_path, change, words):
    run(few, tmp_path)
    path = path_of(tmp_path / "raw", "digits", "digits/pgdat")
    first, *rest = unsealed_lines(path)
    path.write_text("\n".join([change(first), *rest]) + "\n")
    with pytest.raises(InputError, match=words) as caught:
        list(read_lines(path))
    assert "line 1" in str(caught.value)


def test_lines_survive_the_disk(few, tmp_path):
    lines = run(few, tmp_path)
    path = tmp_path / "copy.jsonl"
    write_lines(path, lines)
    assert list(read_lines(path)) == lines
    assert list(read_lines(tmp_path / "none.jsonl")) == []


def test_from_the_command_line(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("robench.evaluation.corruptions.corruptions", lambda: list(FEW))
    out = tmp_path / "out.json"
    command = ("eval", "--model", "pgdat", "--battery", "corruptions", "--limit", 8, "--results", tmp_path / "r")
    said = cli(*command, "--json", out)
    assert said.code == 0
    assert "mCA" in said.out
    cells = json.loads(out.read_text())["corruptions"]
    assert len(cells) == 11
    assert {cell["origin"] for cell in cells} == {"generated"}
    both = cli(*command, "--battery", "quick")
    assert "worst case" in both.out
    assert "mCA" in both.out


def test_the_papers_fifteen_are_all_there():
    assert len(corruptions()) == 15


def test_errors_are_divided_by_alexnets_on_imagenet_c_only(few, tmp_path):
    few = few.limit(6)
    lines = evaluate(
        NetworkUnderTest.of_card(find_card("pgdat")), few, Generated(few), Settings(device="cpu"), tmp_path
    )
    assert swept(lines).mean_error is None
    assert "mCE" not in means({"pgdat": swept(lines)}).columns
    planted = [line.model_copy(update={"dataset": "imagenet", "origin": "published"}) for line in lines]
    errors = [
        100
        * np.mean([1 - line.verdicts.mean() for line in lines if line.corruption == name])
        / find_corruption(name).alexnet
        for name in corruptions()
    ]
    assert swept(planted).mean_error == pytest.approx(100 * np.mean(errors))
    assert means({"pgdat": swept(planted)}).rows["pgdat"]["mCE"] == f"{100 * np.mean(errors):.2f}"
    assert swept(planted[:-5]).mean_error is None
