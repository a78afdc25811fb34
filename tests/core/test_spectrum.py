"""Spectra against definitions written out, and against each other."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from detectors.core.groups import Group
from detectors.core.named_tables import MAX_ORDER, named_table
from detectors.core.spectrum import (
    BUDGET,
    _basis_family,
    block_power,
    chance_shares,
    factored_family_power,
    family_power,
    in_turn,
    low_rank,
    permuted_block_power,
    weighted_gini,
)
from fixtures.strategies import group_names


# the smallest normal number stands in the denominator, so that no power is no error; below it nothing is measured
@given(st.lists(st.floats(0, 10, allow_subnormal=False), min_size=2, max_size=12))
def test_gini_with_equal_weights_is_the_mean_difference_formula(values):
    x = np.array(values)
    n = len(x)
    expected = np.abs(x[:, None] - x).sum() / (2 * n * x.sum()) if x.sum() > 0 else 0.0
    found = weighted_gini(torch.tensor(x, dtype=torch.float64), torch.full((n,), 1 / n, dtype=torch.float64))
    assert float(found) == pytest.approx(expected, abs=1e-9)


@given(group_names(3), st.data())
def test_gini_is_zero_at_chance_and_largest_for_one_irrep(name, data):
    group = Group.from_name(name)
    chance = chance_shares(group)
    assert float(chance.sum()) == pytest.approx(1)
    assert float(weighted_gini(chance, chance)) == pytest.approx(0, abs=1e-12)
    k = data.draw(st.integers(0, len(chance) - 1))
    one = torch.zeros_like(chance)
    one[k] = 1
    assert float(weighted_gini(one, chance)) == pytest.approx(1 - float(chance[k]))


@given(group_names(3), st.integers(0, 1000))
def test_permuted_power_is_the_power_of_permuted_rows(name, seed):
    group = Group.from_name(name)
    rng = np.random.default_rng(seed)
    rows = torch.from_numpy(rng.standard_normal((group.order, 4)))
    perms = torch.from_numpy(np.stack([rng.permutation(group.order) for _ in range(3)]))
    direct = torch.stack([block_power(group, rows[perm]) for perm in perms])
    torch.testing.assert_close(permuted_block_power(group, rows, perms), direct, atol=1e-9, rtol=1e-9)


def eight_terms(grid: np.ndarray, k: int) -> float:
    """Power in cos and sin of a, of b, and their four products, each normalised: the definition of the paper."""
    n = len(grid)
    angle = 2 * np.pi * k * np.arange(n) / n
    one, c, s = np.ones(n), np.cos(angle), np.sin(angle)
    one, c, s = (v / np.linalg.norm(v) for v in (one, c, s))
    pairs = [(one, c), (one, s), (c, one), (s, one), (c, c), (c, s), (s, c), (s, s)]
    return float(sum((u @ grid @ v) ** 2 for u, v in pairs))


@given(st.sampled_from([5, 7, 9, 11]), st.integers(0, 1000))
def test_family_power_of_a_frequency_is_the_eight_term_fit(n, seed):
    grid = np.random.default_rng(seed).standard_normal((2, n, n))
    total, power = family_power(Group.from_name(f"C{n}"), torch.from_numpy(grid))
    for m in range(2):
        assert float(total[m]) == pytest.approx(((grid[m] - grid[m].mean()) ** 2).sum())
        for k in range(1, n // 2 + 1):
            assert float(power[m, k - 1]) == pytest.approx(eight_terms(grid[m], k), abs=1e-9)


@given(st.sampled_from([4, 5, 8, 12]), st.integers(0, 1000))
def test_the_fourier_path_equals_the_basis_path(n, seed):
    group = Group.from_name(f"C{n}")
    grid = torch.from_numpy(np.random.default_rng(seed).standard_normal((3, n, n)))
    torch.testing.assert_close(family_power(group, grid)[1], _basis_family(group, grid), atol=1e-9, rtol=1e-9)


@given(group_names(3), st.integers(0, 1000))
def test_factored_power_equals_the_power_of_the_product(name, seed):
    group = Group.from_name(name)
    rng = np.random.default_rng(seed)
    u, v = (torch.from_numpy(rng.standard_normal((group.order, 2, 3))) for _ in range(2))
    order = torch.from_numpy(rng.permutation(group.order))
    whole = torch.einsum("arm,brm->mab", u[order], v[order])
    found = factored_family_power(group, u, v, order.argsort())
    torch.testing.assert_close(found, family_power(group, whole)[1], atol=1e-9, rtol=1e-9)


def test_low_rank_is_exact_where_the_rank_is_low():
    generator = torch.Generator().manual_seed(0)
    cube = torch.randn(4, 13, 3, generator=generator, dtype=torch.float64) @ torch.randn(
        4, 3, 13, generator=generator, dtype=torch.float64
    )
    u, v = low_rank(cube, 5, generator)
    torch.testing.assert_close(torch.einsum("arm,brm->mab", u, v), cube)


@pytest.mark.parametrize("n", [2, 113, MAX_ORDER])
def test_a_chunk_keeps_to_the_budget_which_is_no_more_than_the_table_of_the_largest_group(n):
    assert max(1, BUDGET // n**2) * n**2 <= BUDGET
    assert named_table(f"C{MAX_ORDER}").nbytes >= 8 * BUDGET


# the published ceilings of MOTIFS, for p = 113 and one frequency
@pytest.mark.parametrize(
    ("act", "ceiling"),
    [(torch.relu, 0.962), (torch.abs, 0.851), (torch.square, 0.800), (lambda x: torch.relu(x - 1), 0.705)],
)
def test_shares_of_single_neurons_are_the_published_ceilings(act, ceiling):
    a = 2 * np.pi * 5 * torch.arange(113, dtype=torch.float64) / 113
    neuron = act(torch.cos(a + 0.3)[:, None] + torch.cos(a + 1.1))
    total, power = family_power(Group.from_name("C113"), neuron[None])
    assert float(power.max() / total) == pytest.approx(ceiling, abs=0.001)


def test_what_is_given_in_turn_is_a_copy():
    """A single neuron of float64 is laid out as its transpose is: centred in place, it would change the model's."""
    neurons = torch.arange(9.0, dtype=torch.float64)[:, None]
    for cube in in_turn(neurons, torch.arange(9).reshape(3, 3)):
        cube -= cube.mean()
    assert neurons[:, 0].tolist() == list(range(9))
