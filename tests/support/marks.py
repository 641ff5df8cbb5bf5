"""Marks of parameters."""

from typing import Any

import pytest


def slow(*values: Any, **options: Any) -> Any:
    """Return parameters that are tried under `pytest -m slow` only: more of what the others already show."""
    return pytest.param(*values, marks=pytest.mark.slow, **options)
