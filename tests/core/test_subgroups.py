"""Subgroups against published counts, and alignment against means over cosets."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detectors.core.groups import Group
from detectors.core.subgroups import SIDES, alignments, coset_means, subgroups

# subgroups in all, the trivial one and the group itself counted (S5, S6: arXiv:2312.06581 section 6.1; the others are
# in every table of small groups)
COUNTS = {"S3": 6, "A4": 10, "S4": 30, "A5": 59, "S5": 156, "S6": 1455, "D6": 16, "C12": 6, "Dic2": 6, "C2xC2": 5}


@pytest.mark.parametrize("name", COUNTS)
def test_there_are_as_many_as_published(name):
    group = Group.from_name(name)
    masks = subgroups(group, group.order)
    assert len(masks) == COUNTS[name] - 1  # proper ones
    assert len(np.unique(masks, axis=0)) == len(masks)
    assert (group.order % masks.sum(1) == 0).all()
    assert (np.diff(masks.sum(1)) <= 0).all()
    for mask in masks[:: max(1, len(masks) // 40)]:
        own = np.flatnonzero(mask)
        assert mask[group.table[np.ix_(own, own)]].all()
        assert mask[group.identity]


def test_an_index_bounds_them():
    group = Group.from_name("S5")
    assert {120 // int(k) for k in subgroups(group, 40).sum(1)} == {2, 5, 6, 10, 12, 15, 20, 24, 30, 40}
    assert len(subgroups(group, 2)) == 1


@pytest.mark.parametrize("side", SIDES)
def test_functions_on_cosets_of_one_side_align_with_that_side(side):
    """And not with the other, unless the subgroup is normal."""
    group = Group.from_name("S4")
    masks = subgroups(group, 4)
    h = next(i for i, mask in enumerate(masks) if mask.sum() == 6)
    table = group.table if side == "Hg" else group.table.T
    coset = np.unique(table[masks[h]].min(0), return_inverse=True)[1]
    assert len(set(coset)) == 4
    f = torch.from_numpy(np.random.default_rng(0).standard_normal(4)[coset])[:, None]
    here, there = (alignments(group, f, masks, s)[0] for s in (side, SIDES[1 - SIDES.index(side)]))
    assert here[h] == pytest.approx(1, abs=1e-12)
    assert there[h] < 0.9
    means = coset_means(group, f, masks, torch.tensor([h]), side)
    assert torch.allclose(means, f)


@given(seed=st.integers(0, 2**31), name=st.sampled_from(["S3", "A4", "D6", "C2xC4"]))
def test_alignment_is_the_corrected_share_that_coset_means_explain(seed, name):
    group = Group.from_name(name)
    masks, n = subgroups(group, group.order), group.order
    f = torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 1)))
    for side in SIDES:
        found = alignments(group, f, masks, side)[0]
        for mask, one in zip(masks, found, strict=True):
            if mask.sum() == 1:
                continue
            mean = coset_means(group, f - f.mean(), mask[None], torch.tensor([0]), side)
            explained = float(mean.square().sum() / (f - f.mean()).square().sum())
            chance = (n / mask.sum() - 1) / (n - 1)
            assert float(one) == pytest.approx((explained - chance) / (1 - chance), abs=1e-9)


def test_random_functions_align_by_chance_alone():
    """The mean over many is 0 for every index: what the correction is for (uncorrected it is 1/119 to 39/119)."""
    group = Group.from_name("S5")
    masks = subgroups(group, 40)
    f = torch.from_numpy(np.random.default_rng(0).standard_normal((120, 4000)))
    means = alignments(group, f, masks, "Hg").mean(0)
    assert float(means.abs().max()) < 0.01
