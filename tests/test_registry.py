import sys

import pytest

from robench import algorithms
from robench.classifiers import architectures
from robench.errors import InputError
from robench.registry import Registry
from robench.training import frameworks


@pytest.fixture
def shapes(tmp_path, monkeypatch):
    """A package of two parts and what they share."""
    folder = tmp_path / "shapes_of_a_test"
    folder.mkdir()
    files = {"__init__": "", "base": "SHAPE = 'shared'", "circle": "SHAPE = 'round'", "square": "SHAPE = 'angular'"}
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    (folder / "notes.txt").write_text("no module")
    monkeypatch.syspath_prepend(tmp_path)
    yield Registry("shape", folder.name, "SHAPE")
    for name in [name for name in sys.modules if name.partition(".")[0] == folder.name]:
        del sys.modules[name]


def test_parts_are_listed_without_importing_them_and_the_shared_module_is_none(shapes):
    assert shapes.names() == ["circle", "square"]
    assert "shapes_of_a_test.circle" not in sys.modules


def test_a_part_is_the_constant_of_its_module(shapes):
    assert [shapes.find(name) for name in shapes.names()] == ["round", "angular"]
    assert "shapes_of_a_test.circle" in sys.modules


def test_a_file_that_is_added_is_found(shapes, tmp_path):
    assert "triangle" not in shapes.names()
    (tmp_path / shapes.package / "triangle.py").write_text("SHAPE = 'pointed'")
    assert "triangle" in shapes.names() and shapes.find("triangle") == "pointed"


@pytest.mark.parametrize(("name", "words"), [("squares", "did you mean square?"), ("base", "known: circle, square.")])
def test_a_name_that_is_not_there_suggests_the_nearest(shapes, name, words):
    with pytest.raises(InputError) as refused:
        shapes.find(name)
    assert str(refused.value) == f"unknown shape '{name}': {words}"


@pytest.mark.parametrize(
    ("registry", "near", "found"),
    [
        (algorithms.REGISTRY, "pgdd", "robench.algorithms.pgd"),
        (architectures.REGISTRY, "wide_resnets", "robench.classifiers.architectures.wide_resnet"),
        (frameworks.REGISTRY, "trade", "robench.training.frameworks.trades"),
    ],
)
def test_all_three_packages_have_one(registry, near, found):
    with pytest.raises(InputError, match=f"unknown {registry.kind} '{near}': did you mean {found.rpartition('.')[2]}"):
        registry.find(near)
    assert registry.find(found.rpartition(".")[2]).__module__ == found
