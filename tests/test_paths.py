"""Files are written whole on every operating system."""

import os
from pathlib import Path

import pytest

from robench import paths


def test_a_folder_is_synced_where_it_can_be_opened(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError("no folder can be opened here")

    with monkeypatch.context() as windows, paths.atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("whole")
        windows.setattr(os, "open", refuse)
        with pytest.raises(PermissionError):
            paths._sync_folder(tmp_path)
        windows.setattr(paths, "OPENS_FOLDERS", False)
        paths._sync_folder(tmp_path)
    assert (tmp_path / "file").read_text() == "whole"


def test_results_lie_in_the_working_folder_unless_it_is_in_the_checkout(tmp_path, monkeypatch):
    assert paths.default_results() == paths.data_root() / "results"
    monkeypatch.chdir(paths.data_root() / "attacks")
    assert paths.default_results() == paths.data_root() / "results"
    monkeypatch.chdir(tmp_path)
    assert paths.default_results() == Path("results")
    assert paths.results_folders() == [paths.data_root() / "results", Path("results")]


@pytest.mark.parametrize("error", [OSError("full"), KeyboardInterrupt()])
def test_a_folder_whose_replacement_stops_half_way_stays(tmp_path, monkeypatch, error):
    """Between the two moves neither folder has its name; whatever happens there, the old one gets it back."""
    old, new = tmp_path / "card", tmp_path / "new"
    for folder in (old, new):
        folder.mkdir()
        (folder / "which").write_text(folder.name)
    rename = Path.rename

    def fails(self, target):
        if self == new:
            raise error
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(type(error)):
        paths._put_in_place_of(old, new)
    assert (old / "which").read_text() == "card"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card", "new"]
    monkeypatch.undo()
    paths._put_in_place_of(old, new)
    assert (old / "which").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["card"]
