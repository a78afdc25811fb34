"""The regions of the plane tile it, and a point's phase is its region."""

import numpy as np
import pytest

from detectors.core.phases import REGIONS, phase


def test_regions_tile_the_plane():
    for g, m in np.random.default_rng(0).random((200, 2)):
        assert sum(r.left <= g < r.right and r.low <= m < r.high for r in REGIONS.values()) == 1
    assert sum((r.right - r.left) * (r.high - r.low) for r in REGIONS.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("g", "m", "advantage", "expected"),
    [
        # G, M and membership advantage of one run of a + b mod 59, as measured, and the corners of the bounds
        (0.00, 0.01, 0.04, "initial"),
        (1.00, 0.43, 0.85, "circuit formation"),
        (1.00, 0.02, 0.48, "cleanup"),
        (1.00, 0.00, 0.12, "generalisation"),
        (0.00, 0.91, 0.97, "memorisation"),
        (0.49, 0.50, 0.0, "memorisation"),
        (0.50, 0.50, 0.0, "circuit formation"),
        (0.50, 0.10, 0.25, "generalisation"),
        (0.50, 0.11, 0.25, "circuit formation"),
        (0.50, 0.10, 0.26, "cleanup"),
        (0.49, 0.10, 0.26, "initial"),
    ],
)
def test_the_phase_of_a_point(g, m, advantage, expected):
    assert phase(g, m, advantage) == expected
