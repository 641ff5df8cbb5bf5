"""What the description of an installed RobustBench says, without importing it."""

import sys
from importlib.metadata import PackageNotFoundError, version

import pytest

from robench.cli.selecting import select_data
from robench.errors import InputError
from robench.specs import NetworkSpec, ThreatModel
from robench.specs import robustbench as described
from robench.specs.robustbench import Entry, entries, entry_in, find_entry
from tests.support import robustbench


@pytest.fixture
def _fake(tmp_path, monkeypatch):
    yield robustbench.install(tmp_path, monkeypatch)
    robustbench.forget()


@pytest.mark.usefixtures("_fake")
def test_each_network_has_its_dataset_threat_model_and_accuracies():
    found = entries()
    assert list(found) == [
        "cifar10/Linf/Tiny2020_R-1", "cifar10/Linf/Both", "cifar10/Linf/Careless", "cifar10/L2/Round",
        "cifar10/corruptions/Foggy", "cifar100/Linf/Both", "imagenet/Linf/Large", "imagenet/Linf/Usual",
    ]  # fmt: skip
    assert found["cifar10/Linf/Tiny2020_R-1"] == Entry("cifar10", "Linf", "Tiny2020_R-1", "8/255", 83.34, 43.21)
    assert found["cifar10/corruptions/Foggy"].threat_model is None
    assert "robustbench" not in sys.modules


@pytest.mark.usefixtures("_fake")
def test_names():
    assert find_entry("Tiny2020_R-1") == find_entry("cifar10/Linf/Tiny2020_R-1")
    for fault, said in {
        "Both": r"2 networks 'Both': say which, robustbench:cifar10/Linf/Both or robustbench:cifar100/Linf/Both\.$",
        "tiny2020_r1": r"unknown network of RobustBench 'tiny2020_r1': did you mean cifar10/Linf/Tiny2020_R-1\?$",
        "cifar10/L2/Both": "unknown network of RobustBench 'cifar10/L2/Both': did you mean cifar10",
        "": "unknown network of RobustBench ''",
    }.items():
        with pytest.raises(InputError, match=said):
            find_entry(fault)


@pytest.mark.usefixtures("_fake")
@pytest.mark.parametrize(
    ("name", "options", "dataset", "threat"),
    [
        ("Tiny2020_R-1", (None, None, None), "cifar10", "linf 8/255"),
        ("Round", (None, None, None), "cifar10", "l2 0.5"),
        ("Usual", (None, None, None), "imagenet", "linf 4/255"),
        ("Foggy", (None, None, None), "cifar10", "linf 8/255"),
        ("Round", ("cifar10-jpeg", None, None), "cifar10-jpeg", "l2 0.5"),
        ("Round", (None, "linf", "2/255"), "cifar10", "linf 2/255"),
        ("Round", (None, None, "0.25"), "cifar10", "l2 0.25"),
    ],
)
def test_dataset_and_threat_model_are_by_default_those_of_the_network(name, options, dataset, threat):
    data, found = select_data(NetworkSpec(f"robustbench:{name}"), *options)
    assert (data.name, str(found)) == (dataset, threat)


@pytest.mark.usefixtures("_fake")
def test_another_norm_needs_its_eps():
    with pytest.raises(InputError, match="no default eps for linf"):
        select_data(NetworkSpec("robustbench:Round"), None, "linf", None)


@pytest.mark.usefixtures("_fake")
def test_a_description_without_tables(tmp_path):
    (tmp_path / f"robustbench-{robustbench.VERSION}.dist-info" / "METADATA").write_text(
        f"Name: robustbench\nVersion: {robustbench.VERSION}\n\nnothing\n"
    )
    with pytest.raises(InputError, match=r"description of robustbench 9\.8 lists no networks"):
        entries()


def test_not_installed(monkeypatch):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(described, "metadata", absent)
    with pytest.raises(InputError, match=r"^RobustBench is not installed: pip install 'robench\[robustbench\]'\.$"):
        find_entry("Wong2020Fast")


@pytest.mark.parametrize("identity", [{"code": "timm 1.0"}, {"code": "3fab"}, {"weights": "3fab"}])
def test_other_networks_name_no_entry(identity):
    assert entry_in(identity) is None


def installed():
    try:
        return bool(version("robustbench"))
    except PackageNotFoundError:
        return False


@pytest.mark.skipif(not installed(), reason="the extra robustbench is not installed")
def test_the_description_lists_the_model_zoo():
    from robench.classifiers.sources.robustbench_import import import_robustbench

    zoo = import_robustbench("robustbench.model_zoo").model_dicts
    names = [
        f"{dataset.value}/{threat.value}/{name}"
        for dataset, threats in zoo.items()
        for threat, each in threats.items()
        for name in each
    ]
    found = entries()
    assert sorted(found) == sorted(names)
    assert {(each.dataset, each.threat, each.eps) for each in found.values() if each.threat != "corruptions"} == {
        ("cifar10", "Linf", "8/255"), ("cifar10", "L2", "0.5"), ("cifar100", "Linf", "8/255"),
        ("imagenet", "Linf", "4/255"),
    }  # fmt: skip
    wong = found["cifar10/Linf/Wong2020Fast"]
    assert (wong.clean, wong.robust, wong.threat_model) == (83.34, 43.21, ThreatModel.parse("linf", "8/255"))
