"""The public names of `robench`: sorted, importable, typed, and free of torch until one of them needs it."""

import ast
from importlib.metadata import version
from pathlib import Path

import pytest

import robench


def test_the_names_are_sorted_and_each_can_be_imported():
    assert robench.__all__ == sorted(robench.__all__)
    for name in robench.__all__:
        assert getattr(robench, name) is not None
    assert robench.__version__ == version("robench")


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(robench.__file__).read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imported = {alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    annotated = {node.target.id for node in block.body if isinstance(node, ast.AnnAssign)}
    assert (imported - {None}) | annotated == set(robench.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'robench' has no attribute 'evalute'"):
        robench.evalute  # noqa: B018


def test_the_version_on_the_command_line(cli):
    said = cli("--version")
    assert (said.code, said.out) == (0, f"robench {version('robench')}\n")
