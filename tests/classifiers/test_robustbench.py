"""Networks of RobustBench: `--model robustbench:NAME`."""

import builtins
import copy
import json
import os
import pickle
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from robench.classifiers import load_card
from robench.classifiers.sources import resolve
from robench.classifiers.sources.robustbench_import import import_robustbench, substitutes
from robench.errors import InputError
from robench.evaluation.request import NetworkUnderTest
from robench.specs import Head, Input, NetworkSpec, read_card
from robench.specs.robustbench import entries, entry_in
from tests.support import robustbench
from tests.support.marks import slow

TINY = "cifar10/Linf/Tiny2020_R-1"
X = torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
FAULTY = ("pkg_resources", "autoattack", "autoattack.state")
"""Modules that RobustBench imports and does not install."""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The cache of weights of a tiny package with RobustBench's name."""
    for name in FAULTY:
        monkeypatch.delitem(sys.modules, name, raising=False)
    robustbench.install(tmp_path, monkeypatch)
    yield tmp_path / "cache"
    robustbench.forget()


@pytest.fixture
def images(tmp_path):
    np.savez(tmp_path / "images.npz", x=X.numpy(), y=np.arange(8))
    return f"npz:{tmp_path / 'images.npz'}"


@pytest.mark.usefixtures("cache")
def test_the_import_gets_substitutes_and_leaves_none():
    with pytest.raises(ModuleNotFoundError, match="pkg_resources"):
        __import__("robustbench")
    found = import_robustbench()
    assert found.WORDS == "found"  # read through pkg_resources
    assert found.benchmark is __import__("pyautoattack").AutoAttack
    assert not sys.modules.keys() & set(FAULTY)


def test_modules_that_are_there_are_never_replaced(tmp_path, monkeypatch):
    for name in FAULTY:
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "pkg_resources.py").write_text("HERE = True\n")
    (tmp_path / "autoattack").mkdir()
    (tmp_path / "autoattack" / "__init__.py").write_text("HERE = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    with substitutes():
        assert __import__("pkg_resources").HERE
        assert __import__("autoattack").HERE
    assert {"pkg_resources", "autoattack"} <= sys.modules.keys()
    for name in FAULTY:
        sys.modules.pop(name, None)


def test_substitutes_go_after_an_error(monkeypatch):
    for name in FAULTY:
        monkeypatch.delitem(sys.modules, name, raising=False)
    missing = [name for name in FAULTY[:2] if find_spec(name) is None]
    with pytest.raises(ZeroDivisionError), substitutes():
        assert set(missing) <= sys.modules.keys()
        raise ZeroDivisionError
    assert not sys.modules.keys() & set(missing)


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import geotorch_gone", r"^RobustBench needs geotorch_gone: pip install 'robench\[robustbench\]'\.$"),
        ("raise AttributeError('no such\\nlayer')", r"^RobustBench cannot be imported \(no such\): pip install "),
    ],
)  # fmt: skip
def test_what_is_lacking_is_named(tmp_path, line, said):
    (tmp_path / "robustbench" / "eval.py").write_text(line)
    with pytest.raises(InputError, match=said):
        resolve(NetworkSpec(f"robustbench:{TINY}"))


def test_the_network_is_robustbenchs_own(cache, capsys):
    network = robustbench.lay(TINY, cache)
    found = resolve(NetworkSpec("robustbench:Tiny2020_R-1"))
    assert found.network(X).equal(network(X))
    assert type(found.network) is type(network)
    assert not any(module.training for module in found.network.modules())
    assert (found.head, found.input) == (Head(), Input())
    assert found.remark == f"RobustBench's {TINY}"
    assert str(found.normalisation) == "images not normalised (of RobustBench, whose network does that itself)"
    assert found.published == ("cifar10", entries()[TINY].clean)
    assert found.code == f"robustbench 9.8 {TINY}"
    assert entry_in({"code": found.code}) == (TINY, "")
    assert capsys.readouterr().out == ""  # a download is reported on stderr


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("outer", [slow(False), True])
def test_another_process_unpickles_it(cache, tmp_path, outer):
    robustbench.lay(TINY, cache)
    network = resolve(NetworkSpec(f"robustbench:{TINY}")).network
    network = torch.nn.Sequential(network) if outer else network
    for copied in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert copied(X).equal(network(X))
    (tmp_path / "network.pickle").write_bytes(pickle.dumps(network))
    code = (
        f"import pickle, sys, torch; sys.path.insert(0, {str(tmp_path)!r}); "
        f"network = pickle.load(open({str(tmp_path / 'network.pickle')!r}, 'rb')); "
        "print(network(torch.full((1, 3, 32, 32), 0.25))[0].tolist(), 'autoattack' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert said.stdout == f"{network(torch.full((1, 3, 32, 32), 0.25))[0].tolist()} False\n", said.stderr


def test_other_preparations_of_images_are_said(cache):
    robustbench.lay("imagenet/Linf/Large", cache)
    found = resolve(NetworkSpec("robustbench:Large"))
    assert "images prepared by Crop288, not Res256Crop224" in found.remark
    assert found.published is None
    assert entry_in({"code": found.code}) == ("imagenet/Linf/Large", "Crop288")


def test_both_forms_of_the_name_are_one_network(cache):
    robustbench.lay(TINY, cache)
    one, two = (
        NetworkUnderTest.of_user(NetworkSpec(f"robustbench:{name}"), "cifar10") for name in (TINY, "Tiny2020_R-1")
    )
    assert one.model.startswith("cifar10/Tiny2020_R-1@")
    assert (one.model, one.identity) == (two.model, two.identity)


class Evil:
    def __reduce__(self):
        return builtins.exec, ("import os; os.environ['ROBENCH_EVIL'] = '1'",)


@pytest.mark.parametrize("entry", [TINY, "cifar10/Linf/Careless"])
@pytest.mark.parametrize("force", ["", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_WEIGHTS_ONLY_LOAD"])
def test_no_code_of_a_file_is_run(cache, entry, force, monkeypatch):
    network = robustbench.lay(entry, cache)
    path = cache / "robustbench" / f"{entry}.pt"
    torch.save({**network.state_dict(), "more": Evil()}, path)
    monkeypatch.delenv("ROBENCH_EVIL", raising=False)
    if force:
        monkeypatch.setenv(force, "1")
    with pytest.raises(
        InputError, match=r"holds more than plain weights, and no code in it is run: remove it [^\n]*\.$"
    ):
        resolve(NetworkSpec(f"robustbench:{entry}"))
    assert "ROBENCH_EVIL" not in os.environ
    assert not force or os.environ[force] == "1"
    assert ("TORCH_FORCE_WEIGHTS_ONLY_LOAD" in os.environ) == (force == "TORCH_FORCE_WEIGHTS_ONLY_LOAD")


FAULTS = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:500]),
    "page": lambda path: path.write_text("<!DOCTYPE html>"),
    "of another network": lambda path: torch.save(torch.nn.Linear(2, 2).state_dict(), path),
    "a pickle": lambda path: path.write_bytes(pickle.dumps(Path("x"))),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_files_that_cannot_be_read_are_one_sentence(cli, cache, images, tmp_path, fault):
    robustbench.lay(TINY, cache)
    FAULTS[fault](cache / "robustbench" / f"{TINY}.pt")
    said = cli("eval", "--model", f"robustbench:{TINY}", "--dataset", images, "--attack", "fgsm", "--results", tmp_path)
    assert said.code == 2
    assert said.last.startswith(f"robench: --model robustbench:{TINY}")
    assert str(cache / "robustbench" / "cifar10" / "Linf") in said.last


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize(
    ("options", "shown"),
    [(("--weights", "w.pt"), "--weights"), (("--mean", "0.5", "--std", "0.5"), "--mean and --std"),
     (("--key", "ema"), "--key")],
)  # fmt: skip
def test_options_that_contradict_the_network(cli, images, tmp_path, options, shown):
    said = cli("eval", "--model", f"robustbench:{TINY}", "--dataset", images, "--attack", "fgsm",
               "--results", tmp_path, *options)  # fmt: skip
    assert said.code == 2
    assert f"leave {shown} out." in said.sentence


def test_from_the_command_line(cli, cache, images, tmp_path):
    robustbench.lay(TINY, cache)
    command = ("eval", "--model", f"robustbench:{TINY}", "--dataset", images, "--attack", "pgd-1", "--attack", "fgsm",
               "--results", tmp_path / "r", "--json", tmp_path / "out.json")  # fmt: skip
    said = cli(*command)
    assert said.code == 0, said.err
    rows = json.loads((tmp_path / "out.json").read_text())["results"]
    assert {(row["attack"], row["norm"], row["n"]) for row in rows} == {
        ("pgd-1", "linf", 8), ("fgsm", "linf", 8),
    }  # fmt: skip
    assert f"RobustBench's {TINY}." in said.err
    assert "stored" in cli(*command).out


def test_its_dataset_is_looked_for_by_default(cli, cache, tmp_path):
    robustbench.lay(TINY, cache)
    (tmp_path / "empty").mkdir()
    said = cli("eval", "--model", f"robustbench:{TINY}", "--data-dir", tmp_path / "empty", "--attack", "fgsm",
               "--results", tmp_path)  # fmt: skip
    assert said.code == 2
    assert "cifar10" in said.last
    assert "empty" in said.last


def test_a_card_rebuilds_it(cli, cache, images, tmp_path):
    network = robustbench.lay(TINY, cache)
    said = cli("card", "init", "--model", f"robustbench:{TINY}", "--dataset", images, "--out", tmp_path / "cards")
    assert said.code == 0, said.err
    (cache / "robustbench" / f"{TINY}.pt").unlink()
    card = read_card(tmp_path / "cards" / "images" / "Tiny2020_R-1")
    assert (card.architecture.name, card.architecture.args) == ("robustbench", {"name": TINY})
    assert load_card(card)(X).equal(network(X))


REAL = pytest.mark.skipif(find_spec("robustbench") is None, reason="the extra robustbench is not installed")
WONG = "cifar10/Linf/Wong2020Fast"


@REAL
def test_robustbench_itself(cli, images, tmp_path, monkeypatch):
    monkeypatch.setenv("ROBENCH_CACHE", str(tmp_path))
    network = robustbench.lay(WONG, tmp_path)
    found = resolve(NetworkSpec(f"robustbench:{WONG}"))
    theirs = import_robustbench().load_model("Wong2020Fast", tmp_path / "robustbench", "cifar10", "Linf")
    assert found.network(X).equal(theirs(X))
    assert found.network(X).equal(network(X))
    said = cli("eval", "--model", f"robustbench:{WONG}", "--dataset", images, "--attack", "pgd-1",
               "--results", tmp_path / "r")  # fmt: skip
    assert said.code == 0, said.err
    assert "images/Wong2020Fast@" in said.out


@REAL
def test_files_of_robustbench_are_found():
    folder = import_robustbench("robustbench.loaders").pkg_resources
    name = folder.resource_filename("robustbench.loaders", "helper_files/imagenet_test_image_ids.txt")
    assert Path(name).is_file()
