"""`robench eval --target`: from the command to the record, verified again, and refusals."""

import json

import pytest

from robench.store import Store, read, read_header

COMMON = ("eval", "--model", "pgdat", "--attack", "pgd-20", "--limit", 20)


def test_a_class_from_the_command_to_the_verified_record(cli, tmp_path):
    said = cli(
        *COMMON, "--eps", 0.3, "--target", 3, "--results", tmp_path, "--save-adversarial", "--json", tmp_path / "a"
    )
    assert said.code == 0, said.err
    (row,) = json.loads((tmp_path / "a").read_text())["results"]
    assert row["target"] == "3"
    assert row["n"] < 20
    assert f"{20 - row['n']} examples are left out: the target is their label." in said.err
    assert "linf 0.3, target 3" in said.out
    (path,) = Store(tmp_path).paths()
    header, rows = read(path)
    assert header.n == row["n"] == len(rows)
    assert (rows.prediction[rows.clean & ~rows.robust] == 3).all()
    broken = int((rows.clean & ~rows.robust).sum())
    assert broken > 0
    verified = cli("verify", "--results", tmp_path)
    assert verified.code == 0, verified.err
    line = next(line for line in verified.out.splitlines() if f"pgd-20 ({header.hash[:8]})" in line)
    assert line.split()[-3:] == [str(broken), str(broken), "none"]
    again = cli(*COMMON, "--eps", 0.3, "--target", 3, "--results", tmp_path, "--json", "-")
    assert json.loads(again.out)["results"][0]["forwards"] == 0


@pytest.mark.slow
def test_a_file_and_a_plan(cli, tmp_path):
    (tmp_path / "t.txt").write_text("".join(f"{at % 10}\n" for at in range(20)))
    said = cli(*COMMON, "--target", tmp_path / "t.txt", "--results", tmp_path)
    assert said.code == 0, said.err
    (path,) = Store(tmp_path).paths()
    assert read_header(path).target.startswith("given:")
    planned = cli(*COMMON, "--attack", "rays", "--target", "least-likely", "--dry-run", "--json", "-")
    plans = json.loads(planned.out)["plans"]["digits/pgdat"]
    assert [each["attack"] for each in plans] == ["pgd-20"]
    assert plans[0]["seconds"] is None


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--target", 12), "target 12 is beyond the network's 10 classes"),
        (("--target", "nine"), "unknown class 'nine': known: 0, 1,"),
        (("--target", "t.txt"), "target has shape (3,) for 20 evaluated examples"),
        (("--target", 3, "--battery", "corruptions"), "--target is for attacks"),
    ],
)
def test_refusals(cli, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.txt").write_text("1\n2\n3\n")
    said = cli(*COMMON, "--results", tmp_path / "results", *words)
    assert said.code == 2
    assert sentence in said.last
