"""Rotations and translations against SciPy, and the worst of their grid."""

import numpy as np
import pytest
import torch
from scipy.ndimage import affine_transform

from robench.classifiers import load_model
from robench.corruptions.spatial import NAME, grid, moved
from robench.evaluation.corruptions import RotatedTranslated, evaluate
from robench.evaluation.request import NetworkUnderTest, Settings
from robench.report.corruptions import spatial_table
from robench.report.sweeps import Sweep, spatial, sweeps
from robench.specs import find_card
from robench.store.corrupted import CLEAN


def by_scipy(image, angle, right, down):
    """One channel (H, W) in float64: turned counter-clockwise about its middle, then shifted."""
    height, width = image.shape
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    middle = np.array([(height - 1) / 2, (width - 1) / 2])
    # On (row, column): rows grow downwards, so a turn to the left as seen has this sign.
    turn = np.array([[c, s], [-s, c]])
    offset = middle - turn @ (middle + np.array([down * height, right * width]))
    return affine_transform(image, turn, offset, order=1, mode="grid-constant", cval=0.0)


@pytest.mark.parametrize("shape", [(32, 32), (8, 8), (20, 33)])
@pytest.mark.parametrize(
    "view", [(0.0, 0.0, 0.0), (30.0, 0.0, 0.0), (-14.0, 3 / 32, 0.0), (8.0, -1.5 / 32, 3 / 32), (0.0, 3 / 32, -3 / 32)]
)
def test_views_are_those_of_scipy(shape, view):
    x = torch.rand(3, 2, *shape, generator=torch.Generator().manual_seed(0))
    ours = moved(x, view)
    for image, turned in zip(x.flatten(0, 1), ours.flatten(0, 1), strict=True):
        np.testing.assert_allclose(turned.numpy(), by_scipy(image.double().numpy(), *view), atol=2e-5)


def test_a_positive_angle_turns_counter_clockwise_and_shifts_go_right_and_down():
    x = torch.zeros(1, 1, 33, 33)
    x[0, 0, 16, 26] = 1  # right of the middle
    row, column = divmod(int(moved(x, (30.0, 0.0, 0.0)).argmax()), 33)
    assert (row, column) == (11, 25)
    row, column = divmod(int(moved(x, (0.0, 3 / 33, 2 / 33)).argmax()), 33)
    assert (row, column) == (18, 29)


def test_the_grid_is_that_of_the_paper():
    views = grid()
    assert len(set(views)) == 31 * 5 * 5
    assert sorted({round(angle, 9) for angle, _, _ in views}) == list(range(-30, 31, 2))
    assert {round(32 * right, 9) for _, right, _ in views} == {-3, -1.5, 0, 1.5, 3}
    assert views[-1] == (0, 0, 0)


def test_the_verdict_is_the_worst_of_all_views(digits, tmp_path):
    few = digits.limit(50)
    under_test = NetworkUnderTest.of_card(find_card("pgdat"))

    class Near(RotatedTranslated):
        """Views that leave something."""

        def views(self, split, corruption, severity, seed):
            yield from list(super().views(split, corruption, severity, seed))[-60:]

    lines = Sweep(tuple(evaluate(under_test, few, Near(), Settings(device="cpu"), tmp_path))).cells
    model = load_model("pgdat")
    right = [(model(moved(few.x, view)).argmax(1) == few.y).numpy() for view in grid()[-60:]]
    expected = np.logical_and.reduce(right)
    assert 0 < expected.sum() < right[-1].sum()
    assert (lines[NAME, 0].verdicts == expected).all()
    table = spatial_table({"pgdat": spatial(sweeps(tmp_path))["digits/pgdat"]})
    assert table.rows["pgdat"][NAME].startswith(f"{100 * expected.mean():.2f} [")
    assert table.rows["pgdat"][CLEAN] == f"{lines[CLEAN, 0].accuracy:.2f}"
    assert "775 views" in table.notes[0]
