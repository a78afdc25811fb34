"""What a turn within the irreps leaves, and what it does not."""

import numpy as np
import pytest
import torch

from detectors.core.groups import Group
from detectors.core.irreps import rank_one_share
from detectors.core.subgroups import alignments, subgroups
from detectors.core.turns import random_frame, turned


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (1, 1)])
def test_a_random_frame_is_orthonormal_and_no_direction_is_likelier(shape):
    """Of 400 first columns the mean square of every entry is 1 over their length, to five standard errors at least."""
    rng = np.random.default_rng(0)
    frames = torch.stack([random_frame(rng, *shape) for _ in range(400)])
    torch.testing.assert_close(frames.mT @ frames, torch.eye(shape[1], dtype=torch.float64).expand(400, -1, -1))
    squares = frames[:, :, 0].square().mean(0)
    assert squares.numpy() == pytest.approx(np.full(shape[0], 1 / shape[0]), abs=5 * 2**0.5 / shape[0] / 20)


def powers(group, f):
    squares = (torch.from_numpy(group.basis).T @ f).square()
    return torch.stack([squares[block].sum(0) for block in group.slices])


@pytest.mark.parametrize("name", ["S4", "A4", "Dic3", "C7", "D5"])
def test_power_of_every_irrep_and_rank_stay(name):
    group = Group.from_name(name)
    f = torch.from_numpy(np.random.default_rng(0).standard_normal((group.order, 3)))
    last = len(group.irreps) - 1
    for g in turned(group, f, 3, 1):
        assert torch.allclose(powers(group, g), powers(group, f))
        assert not torch.allclose(g, f, atol=0.1)
        assert rank_one_share(group, g[:, 0], last) == pytest.approx(rank_one_share(group, f[:, 0], last), abs=1e-9)


def test_a_turn_moves_both_sides():
    """The indicator of a subgroup is constant on its cosets of both sides, and turned on neither."""
    group = Group.from_name("S4")
    mask = next(m for m in subgroups(group, 4) if m.sum() == 6)
    f = torch.from_numpy(mask.astype(float))[:, None]
    for side in ("Hg", "gH"):
        assert float(alignments(group, f, mask[None], side)[0, 0]) == pytest.approx(1)
        found = [float(alignments(group, g, mask[None], side)[0, 0]) for g in turned(group, f, 20, 0)]
        assert max(found) < 0.999
        assert np.std(found) > 0.05


def test_what_has_a_kernel_is_constant_on_its_cosets_however_turned():
    group = Group.from_name("D6")
    two = next(i for i, irrep in enumerate(group.irreps) if irrep.dimension == 4 and irrep.frequency == 2)
    kernel = np.zeros(12, dtype=bool)
    kernel[[0, 3]] = True
    f = torch.from_numpy(group.basis[:, group.slices[two]][:, :1].copy())
    for g in turned(group, f, 5, 0):
        assert float(alignments(group, g, kernel[None], "Hg")[0, 0]) == pytest.approx(1)


def test_draws_are_of_the_seed():
    group, f = Group.from_name("A4"), torch.eye(12, dtype=torch.float64)[:, :1]
    first, again, other = (next(turned(group, f, 1, seed)) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.allclose(first, other)


@pytest.mark.parametrize("name", ["S4", "A4", "Dic3", "Dic2", "D5", "C7"])
def test_translates_of_one_vector_are_of_rank_one(name):
    """x R(g) y by averaging: the projection on a block of a translate-invariant line has rank one; a sum of two has
    less, but in one dimension.
    """
    group = Group.from_name(name)
    rng, last = np.random.default_rng(0), len(group.irreps) - 1
    block = group.basis[:, group.slices[last]]
    # an eigenvector of a convolution from one side has one direction on that side
    right = block.T @ rng.standard_normal(group.order)[group.table[:, group.inverse]] @ block
    values, vectors = np.linalg.eigh(right + right.T)
    line = torch.from_numpy(block @ vectors[:, -1])
    assert rank_one_share(group, line, last) == pytest.approx(1, abs=1e-9)
    if len(values) > 2 and values[-1] - values[0] > 1e-6 and group.irreps[last].dimension > 2:
        both = torch.from_numpy(block @ (vectors[:, -1] + vectors[:, 0]))
        assert rank_one_share(group, both, last) < 0.99
