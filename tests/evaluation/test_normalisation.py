"""The normalisation that was applied, and its source: on screen, in the record, in JSON and in `robench show`."""

import json
from typing import Any

import pytest
import torch

import robench
from robench.store import read
from robench.store.published import from_data, to_data
from tests.support.records import raw_record

CODE = """
import torch
def make_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
"""
DOORS = {
    "a card": (["pgdat"], [0.3055], [0.3761], "of the card", "normalised by mean 0.3055, std 0.3761"),
    "a function": (["{file}"], [0.0], [1.0], "of the function", "not normalised"),
    "as said": (
        ["{file}", "--mean", "0.5", "--std", "0.25"],
        [0.5],
        [0.25],
        "as said",
        "normalised by mean 0.5, std 0.25",
    ),
    "none, as said": (["{file}", "--mean", "none"], [0.0], [1.0], "as said", "not normalised"),
}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(CODE)
    return f"{path}:make_model"


@pytest.mark.parametrize("door", DOORS)
def test_it_is_on_screen_in_the_record_in_json_and_in_show(cli, tmp_path, file, door):
    (name, *options), mean, std, source, words = DOORS[door]
    name = name.format(file=file)
    command = ("eval", "--model", name, *options, "--attack", "fgsm", "--dataset", "digits", "--eps", 0.1, "--limit", 4)
    said = cli(*command, "--results", tmp_path, "--json", tmp_path / "out.json")
    assert f"Images {words} ({source})." in said.out
    (row,) = json.loads((tmp_path / "out.json").read_text())["results"]
    assert row["normalisation"] == {"mean": mean, "std": std, "source": source}
    header, _ = read(raw_record(tmp_path, "fgsm"))
    assert header.normalisation.model_dump() == row["normalisation"]
    shown = cli("show", "model", name, *options).out
    assert f"{words} ({source})" in shown


def test_corruptions_say_it_too(cli, tmp_path, file):
    said = cli(
        "eval",
        "--model",
        file,
        "--battery",
        "spatial",
        "--dataset",
        "digits",
        "--limit",
        4,
        "--results",
        tmp_path,
    )
    assert "Images not normalised (of the function)." in said.out


def test_it_survives_publication_and_older_records_stay_without_it(digits, tmp_path):
    few = digits.limit(4)
    torch.manual_seed(0)
    options: dict[str, Any] = {"eps": 0.1, "attacks": ["fgsm"], "device": "cpu", "results": tmp_path}
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
    with torch.no_grad():
        own, own_normalised = network(few.x[:]).argmax(1), network((few.x[:] - 0.5) / 0.25).argmax(1)
    plain = robench.evaluate(network, few.x, own, **options)
    normalised = robench.evaluate(network, few.x, own_normalised, mean=0.5, std=0.25, **options)
    assert "Images not normalised (mean and std left out)." in str(plain)
    assert "Images normalised by mean 0.5, std 0.25 (as said)." in str(normalised)
    record = normalised["fgsm"].result.record
    assert from_data(to_data(record), "here").header.normalisation == record.header.normalisation
    record.header = record.header.model_copy(update={"normalisation": None})
    assert "normalisation" not in to_data(record)
