"""`robench eval`: JSON, and what is computed."""

import json

import numpy as np
import pytest

from robench.data import find_dataset
from robench.specs import EMBEDDED, battery_attacks
from robench.store import read
from tests.support.records import raw_record
from tests.support.shell import EVAL, RESULT_KEYS, SMALL, WORST_KEYS

# ---- eval: JSON ----


def test_json_follows_the_contract(cli, tmp_path):
    said = cli(*EVAL, "--attack", "mim-20", "--results", tmp_path, "--json", "-")
    assert said.code == 0
    data = json.loads(said.out)
    assert set(data) == {"schema", "results", "worst_case"}
    assert data["schema"] == 1
    assert [row["attack"] for row in data["results"]] == ["pgd-20", "mim-20"]
    for row in data["results"]:
        assert set(row) == RESULT_KEYS
        assert (row["dataset"], row["model"], row["norm"], row["eps"]) == (EMBEDDED, "digits/pgdat", "linf", "0.2")
        assert (row["n"], row["valid"]) == (20, True)
        assert 0 <= row["ci_low"] <= row["robust_accuracy"] <= row["ci_high"] <= 100
        assert row["forwards"] > row["backwards"] > 0
        assert row["seconds"] > 0
    (worst,) = data["worst_case"]
    assert set(worst) == WORST_KEYS
    assert worst["attacks"] == ["pgd-20", "mim-20"]


def test_json_numbers_are_the_records_in_percent(cli, results):
    data = json.loads(cli(*SMALL, "--results", results, "--json", "-").out)
    every = np.ones(20, bool)
    for row in data["results"]:
        header, rows = read(raw_record(results, row["attack"]))
        assert row["record"] == str(raw_record(results, row["attack"]))
        assert row["spec_hash"] == header.hash
        assert row["robust_accuracy"] == pytest.approx(100 * rows.robust.mean())
        assert row["clean_accuracy"] == pytest.approx(100 * rows.clean.mean())
        assert row["clean_accuracy"] > 50
        every &= rows.robust
    assert data["worst_case"][0]["robust_accuracy"] == pytest.approx(100 * every.mean())


def test_json_to_a_file_leaves_the_table_on_the_screen(cli, tmp_path):
    path = tmp_path / "new" / "out.json"
    said = cli(*EVAL, "--results", tmp_path, "--json", path)
    assert said.code == 0
    assert "worst case" in said.out
    assert set(json.loads(path.read_text())) == {"schema", "results", "worst_case"}


def test_an_unwritable_json_file_is_refused_before_the_attack(cli, tmp_path):
    (tmp_path / "file").touch()
    said = cli(*EVAL, "--results", tmp_path, "--json", tmp_path / "file" / "out.json")
    assert said.code == 2
    assert "--json" in said.last
    assert str(tmp_path / "file") in said.last
    assert not list(tmp_path.rglob("*.parquet"))


def test_several_models_give_one_worst_case_each(cli, tmp_path):
    said = cli(*EVAL, "--model", "standard", "--limit", 10, "--results", tmp_path, "--json", "-")
    data = json.loads(said.out)
    assert [row["model"] for row in data["worst_case"]] == ["digits/pgdat", "digits/standard"]
    assert [row["model"] for row in data["results"]] == ["digits/pgdat", "digits/standard"]


def test_a_model_named_twice_is_evaluated_once(cli, tmp_path):
    said = cli(*EVAL, "--model", "digits/pgdat", "--results", tmp_path, "--json", "-")
    assert len(json.loads(said.out)["results"]) == 1


def test_dry_run_prints_nothing_but_json_on_standard_output(cli, tmp_path):
    said = cli(*EVAL, "--results", tmp_path, "--dry-run", "--json", "-")
    assert said.code == 0
    assert not said.out or json.loads(said.out)


# ---- eval: what is computed ----


def test_a_second_run_reads_the_store(cli, tmp_path):
    first = json.loads(cli(*EVAL, "--results", tmp_path, "--json", "-").out)["results"][0]
    written = raw_record(tmp_path).stat().st_mtime_ns
    second = json.loads(cli(*EVAL, "--results", tmp_path, "--json", "-").out)["results"][0]
    assert (second["forwards"], second["backwards"], second["seconds"]) == (0, 0, 0)
    spent = {"forwards", "backwards", "seconds"}
    assert {k: v for k, v in first.items() if k not in spent} == {k: v for k, v in second.items() if k not in spent}
    assert raw_record(tmp_path).stat().st_mtime_ns == written


def test_a_shorter_attack_of_a_family_is_read_from_the_longer(cli, tmp_path):
    said = cli(*EVAL, "--attack", "pgd-100", "--limit", 4, "--results", tmp_path, "--json", "-")
    short, long = json.loads(said.out)["results"]
    assert (short["attack"], short["forwards"], short["backwards"]) == ("pgd-20", 0, 0)
    assert long["forwards"] > 0
    assert "longer run" in said.err


def test_l1_from_the_command_line(cli, tmp_path):
    attacks = ("--attack", "fgsm", "--attack", "cw-l2")
    l1 = ("--norm", "l1", "--eps", 12, "--limit", 6, "--results", tmp_path, "--json", "-")
    said = cli("eval", "--model", "pgdat", *attacks, *l1)
    assert said.code == 0
    (result,) = json.loads(said.out)["results"]
    assert result["norm"] == "l1"
    assert "cw-l2: skipped, cw_l2 is not defined for l1" in said.err
    (rows,) = [read(path)[1] for path in tmp_path.rglob("fgsm-*.parquet")]
    assert np.nanmax(rows.distance) <= 12


@pytest.mark.parametrize("limit", [1, 7])
def test_limit_takes_as_many_examples(cli, tmp_path, limit):
    said = cli("eval", "--model", "pgdat", "--attack", "fgsm", "--limit", limit, "--results", tmp_path, "--json", "-")
    assert json.loads(said.out)["results"][0]["n"] == limit
    _, rows = read(raw_record(tmp_path, "fgsm"))
    assert rows.id.tolist() == find_dataset(EMBEDDED).load("test").first(limit).ids.tolist()


def test_eps_is_kept_as_it_was_written(cli, tmp_path):
    said = cli(*EVAL, "--eps", "8/255", "--results", tmp_path, "--json", "-")
    assert json.loads(said.out)["results"][0]["eps"] == "8/255"


@pytest.mark.parametrize("options", [("--seed", 1), ("--eps", "0.1"), ("--norm", "l2", "--eps", "1"), ("--limit", 19)])
def test_what_can_change_a_verdict_is_not_read_from_another_record(cli, results, options):
    said = cli(*SMALL, *options, "--results", results, "--json", "-")
    assert all(row["forwards"] > 0 for row in json.loads(said.out)["results"])


@pytest.mark.parametrize("options", [("--batch-size", 3), ("--batch-size", "auto"), ("--device", "cpu")])
def test_what_cannot_change_a_verdict_is_read_from_the_same_record(cli, results, options):
    said = cli(*SMALL, *options, "--results", results, "--json", "-")
    assert all(row["forwards"] == 0 for row in json.loads(said.out)["results"])


def test_dry_run_writes_nothing(cli, tmp_path):
    said = cli(*EVAL, "--results", tmp_path / "new", "--dry-run")
    assert (said.code, said.err) == (0, "")
    assert "compute" in said.out
    assert not (tmp_path / "new").exists()


def test_dry_run_knows_what_is_stored(cli, results):
    lines = cli(*SMALL, "--attack", "fgsm", "--results", results, "--dry-run").out.splitlines()
    plan = {line.split()[0]: line for line in lines if line.startswith(("pgd-20", "mim-20", "fgsm"))}
    assert "stored" in plan["pgd-20"]
    assert "stored" in plan["mim-20"]
    assert "compute" in plan["fgsm"]


def test_dry_run_never_promises_less_than_is_spent(cli, tmp_path):
    command = (*EVAL[:-1], 150, "--eps", "0.001", "--results", tmp_path, "--json", "-")
    (row,) = json.loads(cli(*command, "--dry-run").out)["plans"]["digits/pgdat"]
    spent = json.loads(cli(*command).out)["results"][0]["forwards"]
    assert 0 < spent <= row["most"]
    assert row["forwards"] == pytest.approx(spent, rel=0.1)


@pytest.mark.slow
def test_dry_run_names_a_cheaper_battery(cli, tmp_path):
    said = cli("eval", "--model", "pgdat", "--attack", "pgd-500", "--results", tmp_path, "--dry-run")
    assert "Cheaper: --battery fast" in said.out
    assert [line.split()[0] for line in said.out.splitlines()[4:6]] == ["pgd-500", "all"]
    said = cli("eval", "--model", "pgdat", "--battery", "fast", "--results", tmp_path, "--dry-run")
    assert "Cheaper" not in said.out


def test_dry_run_of_corruptions_promises_no_time(cli, tmp_path):
    command = ("eval", "--model", "pgdat", "--battery", "spatial", "--limit", 3, "--results", tmp_path, "--dry-run")
    (row,) = json.loads(cli(*command, "--json", "-").out)["plans"]["digits/pgdat"]
    assert row["seconds"] is None
    assert row["most"] >= 3 * 775
    assert cli(*command).code == 0


@pytest.mark.slow
def test_the_default_battery_is_papers(cli, tmp_path):
    said = cli("eval", "--model", "pgdat", "--results", tmp_path, "--dry-run", "--json", "-")
    planned = [row["attack"] for row in json.loads(said.out)["plans"]["digits/pgdat"]]
    assert planned == [spec.name for spec in battery_attacks("paper")]
