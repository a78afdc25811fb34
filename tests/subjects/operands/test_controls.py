"""Controls among products of two irreps, where the functions on a group are too few: against projectors by hand."""

import numpy as np
import pytest
import torch

from detectors import trig_product_neurons
from detectors.core.groups import Group
from detectors.subjects.operands.controls import CONTROLS, other_products, random_parts
from detectors.subjects.operands.edits import of_irreps
from models_zoo import group_network


def families(motif):
    """[n*n, d] an orthonormal basis of the products of the constant and one part, constant times constant left out."""
    n = len(motif[0])
    constant, columns = torch.full((n, 1), n**-0.5, dtype=torch.float64), []
    for part in motif:
        q = torch.cat([constant, part], dim=1)
        columns.append(torch.einsum("ai,bj->abij", q, q).reshape(n * n, -1)[:, 1:])
    return torch.cat(columns, dim=1)


@pytest.mark.parametrize(
    ("name", "irreps"), [("S3", [2]), ("S3", [1, 2]), ("D5", [2, 3]), ("C5", [1, 2]), ("A4", [1, 2])]
)
def test_a_draw_projects_on_random_products_outside_the_families_of_the_motif(name, irreps):
    group = Group.from_name(name)
    n, motif = group.order, of_irreps(group, irreps)
    every, own = torch.arange(n * n), families(motif)
    basis_of_all = torch.eye(n * n, dtype=torch.float64).reshape(n, n, n * n)
    draws, wanted, taken = other_products(basis_of_all, np.random.default_rng(0), motif)
    assert wanted == own.shape[1] == sum((1 + p.shape[1]) ** 2 - 1 for p in motif)
    outside = min(wanted, n * n - 1 - wanted)
    if 2 * outside < wanted:
        assert (draws, taken) == ([], 0)
        return
    assert taken == outside
    assert len(draws) == CONTROLS
    projectors = [draw.at(every // n, every % n) for draw in draws]
    for draw, projector in zip(draws, projectors, strict=True):
        torch.testing.assert_close(projector @ projector, projector, atol=1e-9, rtol=0)
        torch.testing.assert_close(projector, projector.T, atol=1e-9, rtol=0)
        assert float(projector.trace()) == pytest.approx(taken)
        assert draw.power == pytest.approx(taken)  # of an orthonormal basis of all functions
        assert float((projector @ own).abs().max()) < 1e-9
        assert float(projector.sum(1).abs().max()) < 1e-9  # the constant
    if taken < n * n - 1 - wanted:  # where there is a choice
        assert float((projectors[0] - projectors[1]).abs().max()) > 1e-3


def test_a_circuit_that_fills_a_small_group_has_a_control_that_leaves_its_answers_alone():
    """Both irreps of dimension 3 of S4 hold 18 of its 23 dimensions."""
    group = Group.from_name("S4")
    score = trig_product_neurons(group_network(group, [3, 4], train_fraction=0.6), draws=39)
    assert random_parts(of_irreps(group, [3, 4]), np.random.default_rng(0)) == []
    assert score.causal.dimensions == score.causal.control_dimensions == 2 * (10**2 - 1)
    assert score.causal.necessity > 0.9
    assert score.causal.sufficiency > 0.9
    assert score.causal.control < 0.05
