"""Frames of the irreps: what a shift does to coefficients, and that the error says how far it is from that."""

import numpy as np
import pytest

from detectors import Group
from detectors.certificate.frames import frame
from detectors.certificate.rounding import U64, gamma


@pytest.mark.parametrize("name", ["C7", "D5", "S4", "A4", "Dic3", "C3xS3"])
def test_a_shift_is_what_the_turns_say_to_within_the_error(name):
    group, rng = Group.from_name(name), np.random.default_rng(0)
    for irrep in range(1, len(group.irreps)):
        found = frame(group, irrep)
        block = group.basis[:, group.slices[irrep]]
        assert np.allclose(found.basis @ found.basis.T, block @ block.T)
        assert found.error < 1e-10
        coefficients = rng.standard_normal(found.dimension)
        parts = np.split(coefficients, found.cuts)
        for b in range(group.order):
            turned = np.concatenate([turn[b] @ part for turn, part in zip(found.turns, parts, strict=True)])
            shifted = (found.basis @ coefficients)[group.table[:, group.inverse[b]]]
            assert np.abs(found.basis @ turned - shifted).max() <= found.error * np.linalg.norm(coefficients)


def test_a_real_irrep_of_degree_d_falls_into_d_spaces():
    group = Group.from_name("S4")
    for irrep, of in enumerate(group.irreps):
        degree = round(of.dimension**0.5)
        assert [turn.shape[1] for turn in frame(group, irrep).turns] == [degree] * degree


def test_a_basis_that_is_no_irrep_shows_in_the_error():
    group = Group.from_name("S3")
    group.basis[:, -1] = np.eye(6)[0]
    assert frame(group, len(group.irreps) - 1).error > 0.1


def test_gamma_is_the_textbook_bound():
    assert gamma(1) == U64 / (1 - U64)
    assert gamma(1000, 2.0**-24) == pytest.approx(1000 * 2.0**-24, rel=1e-4)
