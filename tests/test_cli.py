"""The command line as a user meets it: exit codes, sentences, JSON, tables, the store."""

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import SMALL, change_column, change_header, copy_card, raw_record

from robench.algorithms.pgd import PGD
from robench.data import DATASETS, find_dataset
from robench.report import FORMATS, TABLES
from robench.specs import EMBEDDED, battery_attacks, find_attack, list_attacks, list_batteries, list_models
from robench.store import read

PYTHON = (sys.executable, "-m", "robench")
EVAL = ("eval", "--model", "pgdat", "--attack", "pgd-20", "--limit", 20)
RESULT_KEYS = {
    "dataset", "model", "attack", "norm", "eps", "n", "clean_accuracy", "robust_accuracy", "ci_low", "ci_high",
    "forwards", "backwards", "seconds", "valid", "spec_hash", "record",
}  # fmt: skip
WORST_KEYS = {"dataset", "model", "norm", "eps", "n", "robust_accuracy", "ci_low", "ci_high", "attacks"}


def shell(*arguments, **options):
    return subprocess.run(
        [*PYTHON, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False, **options
    )


# ---- list, show, doctor ----

LISTS = {"models": list_models, "attacks": list_attacks, "batteries": list_batteries, "datasets": lambda: [*DATASETS]}


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


def test_what_needs_no_network_does_not_import_torch(results, cli):
    assert cli("publish", "--results", results).code == 0
    commands = [
        ["list", "models"],
        ["list", "attacks"],
        ["list", "batteries"],
        ["list", "datasets"],
        ["show", "model", "pgdat"],
        ["report", "--results", str(results)],
        ["publish", "--results", str(results)],
        ["eval", "--model", "nobody"],
        ["eval", "--model", "pgdat", "--eps", "8"],
        ["--help"],
    ]
    code = (
        "import json, sys\nfrom robench.cli import run\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    run(command)\n"
        "    if 'torch' in sys.modules: sys.exit(f'{command} imports torch')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(commands)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


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
    said = cli(*EVAL, "--attack", "pgd-100", "--results", tmp_path, "--json", "-")
    short, long = json.loads(said.out)["results"]
    assert (short["attack"], short["forwards"], short["backwards"]) == ("pgd-20", 0, 0)
    assert long["forwards"] > 0
    assert "longer run" in said.err


@pytest.mark.parametrize("limit", [1, 7])
def test_limit_takes_the_first_examples(cli, tmp_path, limit):
    said = cli("eval", "--model", "pgdat", "--attack", "fgsm", "--limit", limit, "--results", tmp_path, "--json", "-")
    assert json.loads(said.out)["results"][0]["n"] == limit
    _, rows = read(raw_record(tmp_path, "fgsm"))
    assert rows.id.tolist() == find_dataset(EMBEDDED).load("test").ids[:limit].tolist()


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
    command = ("eval", "--model", "pgdat", "--attack", "pgd-20", "--eps", "0.001", "--results", tmp_path)
    line = next(line for line in cli(*command, "--dry-run").out.splitlines() if line.startswith("pgd-20"))
    promised = int(line.split("at most")[1].split()[0].replace(",", ""))
    spent = json.loads(cli(*command, "--json", "-").out)["results"][0]["forwards"]
    assert 0 < spent <= promised


def test_the_default_battery_is_papers(cli, tmp_path):
    out = cli("eval", "--model", "pgdat", "--results", tmp_path, "--dry-run").out
    planned = [line.split()[0] for line in out.splitlines()[4:] if line]
    assert planned == [spec.name for spec in battery_attacks("paper")]


# ---- Wrong usage ----

WRONG = [
    (["eval"], ["--model"]),
    (["frobnicate"], ["frobnicate"]),
    ([*EVAL, "--limits", 3], ["--limits"]),
    ([*EVAL, "--battery", "quick"], ["--battery", "--attack"]),
    ([*EVAL, "--limit", 0], ["--limit", "0", "at least 1"]),
    ([*EVAL, "--limit", -3], ["--limit", "-3", "at least 1"]),
    ([*EVAL, "--limit", "many"], ["--limit", "integer"]),
    ([*EVAL, "--batch-size", 0], ["--batch-size", "0", "auto"]),
    ([*EVAL, "--batch-size", "-1"], ["--batch-size", "-1", "auto"]),
    ([*EVAL, "--batch-size", "many"], ["--batch-size", "many", "auto"]),
    ([*EVAL, "--batch-size", "²"], ["--batch-size", "²", "auto"]),
    ([*EVAL, "--seed", -1], ["--seed", "-1"]),
    ([*EVAL, "--device", "abacus"], ["--device", "abacus", "auto", "cpu"]),
    ([*EVAL, "--precision", "fp8"], ["precision", "fp8", "fp32"]),
    ([*EVAL, "--engine", "steam"], ["engine", "steam", "local"]),
    ([*EVAL, "--data-dir", "/nowhere"], ["--data-dir", "/nowhere"]),
    ([*EVAL, "--norm", "l2"], ["digits", "l2", "--eps"]),
    ([*EVAL, "--norm", "l3"], ["unknown norm", "l3", "linf", "l2"]),
    ([*EVAL, "--norm", "l3", "--eps", "0.1"], ["unknown norm", "l3", "linf", "l2"]),
    (["report", "--out", "table.md"], ["--out", "--format"]),
    (["report", "--format", "pdf"], ["format", "pdf", "md"]),
    (["show", "model"], ["name"]),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda value: " ".join(map(str, value))[-40:])
def test_wrong_usage_is_one_sentence_and_exit_2(cli, tmp_path, arguments, words):
    said = cli(*arguments, *(["--results", tmp_path] if arguments[0] == "eval" else []))
    assert said.code == 2
    assert said.out == ""
    for word in words:
        assert word.lower() in said.sentence.lower()


@pytest.mark.parametrize("arguments", [[], ["list"], ["show"]])
def test_a_bare_command_shows_its_help(cli, arguments):
    said = cli(*arguments)
    assert said.code == 2
    assert "Usage" in said.out + said.err
    assert "robench:  " not in said.err


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


# ---- Pipes, processes, signals ----

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


def test_a_process_evaluates_and_writes_plain_text(tmp_path):
    done = shell(*EVAL, "--results", tmp_path)
    assert done.returncode == 0
    assert "worst case" in done.stdout
    assert "pgd-20" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_process_ends_a_mistake_with_one_line_and_2():
    done = shell("eval", "--model", "pgdta")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "robench: unknown model 'pgdta': did you mean digits/pgdat, digits/pgdat_he?\n"


def test_a_reader_that_leaves_early_is_no_failure():
    with subprocess.Popen([*PYTHON, "list", "attacks"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        error = process.stderr.read()
        process.wait(timeout=30)
    assert (process.returncode, error) == (0, b"")


def test_ctrl_c_exits_130_and_keeps_finished_attacks(cli, tmp_path):
    options = ("--model", "pgdat", "--limit", "100", "--results", str(tmp_path))
    command = [*PYTHON, "eval", *options, "--attack", "mim-20", "--attack", "adaptive-pgd-500"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert "mim-20" in process.stderr.readline()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 130
    assert not list(tmp_path.rglob("adaptive-pgd-500-*.parquet"))
    again = json.loads(cli("eval", *options, "--attack", "mim-20", "--json", "-").out)
    assert again["results"][0]["forwards"] == 0
    assert error.startswith("robench: interrupted: what was finished is kept")
    assert error.count("\n") == 1


# ---- verify ----


def test_verify_confirms_what_was_saved(cli, results):
    said = cli("verify", "--results", results)
    assert (said.code, said.err) == (0, "")
    for attack in ("pgd-20", "mim-20"):
        header, rows = read(raw_record(results, attack))
        broken = int((rows.clean & ~rows.robust).sum())
        line = next(line for line in said.out.splitlines() if f"{attack} ({header.hash[:8]})" in line)
        assert broken > 0
        assert line.split()[-3:] == [str(broken), str(broken), "none"]


def first_point(change):
    def apply(points):
        place = next(place for place, point in enumerate(points) if point)
        points[place] = change(np.frombuffer(points[place], "<f4")).astype("<f4").tobytes()
        return points

    return apply


def clean_image(path):
    _, rows = read(path)
    split = find_dataset(EMBEDDED).load("test")
    identifier = rows.id[np.flatnonzero(rows.clean & ~rows.robust)[0]]
    return split.x[split.ids == int(identifier)].numpy().ravel()


def below_zero(point, clean):
    return np.where(clean == 0, np.float32(-0.01), point)


TAMPERED = {
    "outside the ball": lambda point, clean: 1 - clean,
    "outside [0, 1]": below_zero,
    "not misclassified": lambda point, clean: clean,
    "not finite": lambda point, clean: point * np.nan,
}


@pytest.mark.parametrize("fault", TAMPERED)
def test_verify_names_a_tampered_point(cli, results, fault):
    path = raw_record(results)
    clean = clean_image(path)
    change_column(path, "adversarial", first_point(lambda point: TAMPERED[fault](point, clean)))
    said = cli("verify", "--results", results)
    assert said.code == 1
    assert f"1x {fault}" in said.out
    assert "do not trust" in said.err


def test_verify_catches_a_verdict_turned_robust(cli, results):
    change_column(raw_record(results), "robust", lambda column: [True] * len(column))
    said = cli("verify", "--results", results)
    assert said.code == 1
    assert "robust but with a first success" in said.out


def test_verify_catches_rows_in_another_order(cli, results):
    def turned(column):
        return column[::-1]

    for name in read(raw_record(results))[1].columns():
        change_column(raw_record(results), name, turned)
    assert cli("verify", "--results", results).code in (1, 2)


def test_verify_does_not_believe_a_widened_ball(cli, results):
    path = raw_record(results)
    clean = clean_image(path)
    change_column(path, "adversarial", first_point(lambda point: np.clip(clean + 2 * (point - clean), 0, 1)))
    change_header(path, lambda header: {**header, "threat": {"norm": "linf", "text": "1", "eps": 1.0}})
    assert cli("verify", "--results", results).code in (1, 2)


def test_verify_of_unknown_ids_is_no_internal_fault(cli, results):
    change_column(raw_record(results), "id", lambda column: [5000 + i for i in column])
    assert cli("verify", "--results", results).code in (1, 2)


def test_verify_without_stored_points_is_incomplete(cli, tmp_path):
    assert cli(*EVAL, "--results", tmp_path).code == 0
    said = cli("verify", "--results", tmp_path)
    assert said.code == 3
    assert "--save-adversarial" in said.sentence


def test_points_are_added_to_a_record_that_has_none(cli, tmp_path):
    assert cli(*EVAL, "--results", tmp_path).code == 0
    assert cli(*EVAL, "--results", tmp_path, "--save-adversarial").code == 0
    assert cli("verify", "--results", tmp_path).code == 0


def test_verify_checks_only_the_named_defense(cli, results):
    change_column(raw_record(results), "adversarial", first_point(lambda point: point * np.nan))
    assert cli("verify", "--results", results, "--model", "pgdat").code == 1
    said = cli("verify", "--results", results, "--model", "standard")
    assert said.code == 3


# ---- publish and report ----


def test_report_needs_only_published_records(cli, results):
    from_raw = cli("report", "--results", results)
    assert cli("publish", "--results", results).code == 0
    shutil.rmtree(results / "raw")
    published = cli("report", "--results", results)
    assert published.code == 0
    assert published.out == from_raw.out
    assert "pgd-20" in published.out


def test_publishing_again_changes_nothing(cli, results):
    assert cli("publish", "--results", results).code == 0
    path = results / "digits" / "pgdat.jsonl"
    before = path.read_bytes()
    assert before.count(b"\n") == 2
    assert all(len(line) < 2048 for line in before.splitlines())
    said = cli("publish", "--results", results)
    assert said.out == f"wrote {path}\n"
    assert path.read_bytes() == before


def test_publish_takes_only_the_named_defense(cli, results):
    command = ("eval", "--model", "standard", "--attack", "fgsm", "--limit", 20)
    assert cli(*command, "--results", results).code == 0
    assert cli("publish", "--results", results, "--model", "standard").code == 0
    assert [path.name for path in results.glob("digits/*.jsonl")] == ["standard.jsonl"]


@pytest.mark.parametrize("command", ["report", "publish", "verify"])
def test_an_empty_folder_is_incomplete(cli, tmp_path, command):
    said = cli(command, "--results", tmp_path / "nothing")
    assert said.code == 3
    assert str(tmp_path / "nothing") in said.sentence
    assert "robench eval" in said.sentence


@pytest.mark.parametrize("command", ["report", "publish"])
def test_a_defense_without_records_is_named(cli, results, command):
    said = cli(command, "--results", results, "--model", "standard")
    assert said.code == 3
    assert "digits/standard" in said.sentence


def cells(cli, results):
    out = cli("report", "--results", results, "--format", "csv").out
    return list(csv.reader(io.StringIO(out)))


def test_csv_holds_the_accuracies_of_the_records(cli, results):
    head, row = cells(cli, results)
    assert head == ["defense", "clean", "pgd-20", "mim-20", "worst case"]
    assert row[0] == "digits/pgdat"
    for attack in ("pgd-20", "mim-20"):
        _, rows = read(raw_record(results, attack))
        assert row[head.index(attack)].startswith(f"{100 * rows.robust.mean():.2f} [")


def test_markdown_is_a_pipe_table(cli, results):
    lines = cli("report", "--results", results, "--format", "md").out.splitlines()
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert [table[0], *table[2:]] == cells(cli, results)
    assert all(set(cell) <= {"-", ":"} for cell in table[1])


def test_latex_is_a_booktabs_table(cli, results):
    command = ("eval", "--model", "pgdat_he", "--attack", "pgd-20", "--limit", 20)
    assert cli(*command, "--results", results).code == 0
    lines = [
        line
        for line in cli("report", "--results", results, "--format", "latex").out.splitlines()
        if not line.startswith("%")
    ]
    assert lines[0].startswith(r"\begin{tabular}")
    assert lines[-1] == r"\end{tabular}"
    assert r"\toprule" in lines
    assert r"pgdat\_he" in "\n".join(lines)
    body = [line for line in lines if line.endswith(r"\\")]
    assert len(body) == 3
    assert all(line.count("&") == 4 for line in body)


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open, self.rows = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1].append(data.strip())


def test_html_is_a_balanced_table(cli, results):
    parser = Cells()
    parser.feed(cli("report", "--results", results, "--format", "html").out)
    assert parser.open == []
    assert parser.rows == cells(cli, results)


@pytest.mark.parametrize("name", FORMATS)
def test_report_writes_a_file(cli, results, tmp_path, name):
    path = tmp_path / "new" / "table"
    said = cli("report", "--results", results, "--format", name, "--out", path)
    assert (said.code, said.err) == (0, "")
    assert said.out == f"wrote {path}\n"
    assert path.read_text() == cli("report", "--results", results, "--format", name).out


def test_report_that_cannot_write_names_the_file(cli, results, tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "table.md"
    said = cli("report", "--results", results, "--format", "md", "--out", path)
    assert said.code == 2
    assert str(path) in said.sentence


def test_every_table_can_be_asked_for_by_name(cli, results):
    assert cli("report", *TABLES, "--results", results).out == cli("report", "--results", results).out


# ---- train ----

ONE_EPOCH = [("epochs = 30", "epochs = 1")]


def test_a_trained_card_can_be_evaluated(cli, tmp_path):
    card = copy_card(tmp_path / "mine", *ONE_EPOCH, model="standard")
    said = cli("train", "--model", card, "--out", tmp_path / "trained")
    assert said.code == 0
    made = tmp_path / "trained" / "digits" / "mine" / "card.toml"
    assert f"robench eval --model {made}" in said.out
    assert "epoch   1/1" in said.err
    said = cli("eval", "--model", made, "--attack", "fgsm", "--limit", 20, "--results", tmp_path, "--json", "-")
    assert json.loads(said.out)["results"][0]["model"].startswith("digits/mine")


def test_training_twice_gives_the_same_weights(cli, tmp_path):
    card = copy_card(tmp_path / "mine", *ONE_EPOCH, model="standard")
    weights = []
    for out in (tmp_path / "a", tmp_path / "b"):
        assert cli("train", "--model", card, "--out", out).code == 0
        weights.append((out / "digits" / "mine" / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1]


def test_a_loss_that_explodes_names_the_mend(cli, tmp_path):
    card = copy_card(tmp_path / "mine", *ONE_EPOCH, ("lr = 0.1", "lr = 1e9"), model="standard")
    said = cli("train", "--model", card, "--out", tmp_path / "trained")
    assert said.code == 2
    assert "recipe.lr" in said.last


def test_train_into_a_file_names_its_own_option(cli, tmp_path):
    (tmp_path / "file").touch()
    said = cli("train", "--model", "pgdat", "--out", tmp_path / "file")
    assert said.code == 2
    assert str(tmp_path / "file") in said.sentence
    assert "--out" in said.sentence
