"""Loads the shared fixtures where tests run: the process that only hands tests to others need not wait for torch."""

import gc

import pytest


def pytest_configure(config: pytest.Config) -> None:
    hands_out = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if not hands_out or config.option.collectonly:
        gc.disable()  # what is imported and collected now stays until the end
        config.pluginmanager.import_plugin("tests.support.fixtures")


def pytest_collection_finish(session: pytest.Session) -> None:
    # A garbage collection of all that torch and the tests import takes up to a second: once in a while is enough.
    gc.set_threshold(50_000, 20, 100)
    gc.enable()
    if hasattr(session.config, "workerinput"):  # a worker leaves it out; elsewhere pytest imports more at the end
        gc.freeze()
