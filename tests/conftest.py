"""Loads the shared fixtures where tests run: the process that only hands tests to others need not wait for torch."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    hands_out = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if not hands_out or config.option.collectonly:
        config.pluginmanager.import_plugin("tests.support.fixtures")
