"""A linear network whose boundaries are known."""

import pytest

from tests.support.optima import exact, linear


@pytest.fixture(scope="module")
def planes():
    """A linear network, its images, and which of them have a boundary within eps in linf."""
    model, x, y = linear(n=24)
    distance = exact(model, x, y, "linf")
    eps = float(distance.median())
    return model, x, y, eps, distance < eps
