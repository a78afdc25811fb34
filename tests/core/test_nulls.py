"""p-values: exact by enumeration, super-uniform under the null."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest

import detectors
from detectors.core.groups import Group
from detectors.core.named_tables import MAX_ORDER
from detectors.core.nulls import carriers, corrected, key_cut, permutation_null, permutations, subset
from detectors.core.spectrum import block_power, chance_shares, permuted_block_power, weighted_gini
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.architectures import initial_weights, network


@given(st.floats(-5, 5), st.lists(st.integers(-5, 5), min_size=1, max_size=30))
def test_p_counts_the_draws_that_reach_the_observed(observed, draws):
    null = permutation_null(observed, torch.tensor(draws, dtype=torch.float64), "x")
    assert null.p_value == (1 + sum(d >= observed - 1e-7 * max(1, abs(observed)) for d in draws)) / (len(draws) + 1)
    assert null.smallest <= null.p_value


def test_ties_within_rounding_count_against_the_observed():
    null = permutation_null(1.0, torch.tensor([1.0 - 1e-12, 0.5, 0.5], dtype=torch.float64), "x")
    assert null.p_value == 0.5


@pytest.mark.parametrize(
    ("observed", "below", "p"),
    [(0.0, 2e-8, 1.0), (0.0, 2.4e-7, 0.5), (1e6, 1e-2, 1.0), (1e6, 1.0, 0.5), (-1e6, 1e-2, 1.0), (-1e6, 1.0, 0.5)],
)
def test_a_tie_is_within_a_ten_millionth_of_the_observed_and_of_1_where_that_is_less(observed, below, p):
    assert permutation_null(observed, torch.tensor([observed - below], dtype=torch.float64), "x").p_value == p


@pytest.mark.parametrize("n", [7, 31, 113])
def test_multiples_of_the_tokens_only_exchange_frequencies_so_they_tie_whatever_the_rounding(n):
    group = Group.from_name(f"C{n}")
    multiples = torch.stack([torch.arange(n) * k % n for k in range(1, 6)])
    for seed in range(5):
        rows = torch.from_numpy(np.random.default_rng(seed).standard_normal((n, 8)))
        observed = float(weighted_gini(block_power(group, rows), chance_shares(group)))
        null = weighted_gini(permuted_block_power(group, rows, multiples), chance_shares(group))
        assert permutation_null(observed, null, "tokens").p_value == 1


def test_one_pair_of_the_largest_group_makes_no_tie():
    null = permutation_null(1.0, torch.tensor([1 - 1 / MAX_ORDER**2], dtype=torch.float64), "x")
    assert (null.p_value, null.smallest) == (0.5, 0.5)


def test_permutations_are_uniform():
    counts = dict.fromkeys(itertools.permutations(range(3)), 0)
    for p in permutations(3, 6000, seed=0).tolist():
        counts[tuple(p)] += 1
    assert max(abs(c - 1000) for c in counts.values()) < 5 * (1000 * 5 / 6) ** 0.5


def test_subset_and_correction():
    assert subset(5, 9, 0).tolist() == [0, 1, 2, 3, 4]
    assert len(set(subset(100, 10, 0).tolist())) == 10
    assert corrected(0.5, 0.5, 1.0) == 0
    assert corrected(1.0, 0.5, 1.0) == 1
    assert corrected(0.3, 0.5, 1.0) == 0
    assert corrected(0.5, 1.0, 1.0) == 0  # no room above chance
    assert corrected(0.5 + 1e-12, 0.5, 0.5 + 1e-12) == 0  # none but rounding
    assert corrected(0.5 + 1e-6, 0.5, 0.5 + 1e-6) == 1
    with pytest.raises(ValueError, match="at least one draw, not 0"):
        permutations(3, 0, seed=0)


def test_key_cut_holds_every_irrep_to_its_own_spread():
    rng = np.random.default_rng(0)
    spread = torch.tensor([0.1, 1.0, 10.0], dtype=torch.float64)
    null = torch.from_numpy(rng.standard_normal((20000, 3))) * spread + 5
    above = (null > key_cut(null)).any(1).double().mean()
    assert float(above) == pytest.approx(0.01, abs=1e-3)  # any of them, together
    assert (null > key_cut(null)).double().mean(0).tolist() == pytest.approx([0.01 / 3] * 3, abs=1.5e-3)


@pytest.mark.parametrize("degrees", [2, 8])
@pytest.mark.parametrize(("draws", "most"), [(19, 0.03), (39, 0.02), (99, 0.016), (199, 0.014)])
def test_a_fresh_draw_passes_a_key_cut_once_in_a_hundred_however_few_there_were(degrees, draws, most):
    """Powers of irreps under a null are chi-squared, of twice their dimension or so; the quantile of 19 draws is passed
    by 23 to 48 in 100."""
    rng, passed = np.random.default_rng(draws), []
    for _ in range(200):
        cut = key_cut(torch.from_numpy(rng.chisquare(degrees, (draws, 30))))
        passed.append(float((torch.from_numpy(rng.chisquare(degrees, (200, 30))) > cut).any(1).double().mean()))
    assert 0.006 <= np.mean(passed) <= most


def test_two_draws_know_no_spread_and_the_larger_is_the_cut():
    assert key_cut(torch.tensor([[0.1, 0.4], [0.3, 0.2]], dtype=torch.float64)).tolist() == [0.3, 0.4]


def test_an_irrep_whose_share_only_rounding_moves_sets_no_cut_of_the_others():
    null = torch.from_numpy(np.random.default_rng(0).normal(0.5, 0.01, (1000, 2)))
    rounded = 0.25 + 2.0**-50 * (torch.arange(1000) % 50 == 0).double()  # by its last bits in 20 draws
    cut = key_cut(torch.cat([null, rounded[:, None], torch.full((1000, 1), 0.125)], dim=1))
    torch.testing.assert_close(cut[:2], key_cut(null))
    assert cut[2:].tolist() == pytest.approx([0.25, 0.125])


def test_shares_however_small_have_a_cut_of_their_size():
    null = torch.from_numpy(np.random.default_rng(0).standard_normal((1000, 2)))
    torch.testing.assert_close(key_cut(1e-9 * null), 1e-9 * key_cut(null), rtol=1e-9, atol=0)


def test_carriers_are_those_above_their_null_mean():
    null = torch.tensor([[0.2, 0.5, 0.1], [0.4, 0.7, 0.1]], dtype=torch.float64)
    assert carriers(torch.tensor([0.31, 0.5, 0.9], dtype=torch.float64), null) == [2, 0]


MODEL = {"kind": "mlp", "n_tokens": 13, "d_model": 4, "d_mlp": 12, "d_vocab_out": 13}


def untrained(seed: int) -> ModelView:
    """Random weights, and a random third of the pairs called training pairs: every null is true."""
    task = Task.parse("add:13")
    mask = np.random.default_rng(seed).random(169) < 1 / 3
    return ModelView(network(MODEL, initial_weights(MODEL, seed), task), task, train_mask=mask)


@pytest.mark.wide
@pytest.mark.unchecked
@pytest.mark.parametrize(
    "name", ["sparse_fourier_embedding", "trig_product_neurons", "trig_logits", "generalisation", "memorisation"]
)
def test_p_values_are_super_uniform_under_the_null(name):
    """No more than a share alpha of the p-values lies at or below alpha, on 500 models.

    One-sided Kolmogorov-Smirnov test at 1 in 50,000: a false alarm in any of the five is rarer than 1 in 10,000.
    """
    detector = getattr(detectors, name)
    p = np.array([detector(untrained(seed), draws=39, seed=seed).null.p_value for seed in range(500)])
    assert kstest(p, "uniform", alternative="greater").pvalue > 1 / 50_000
    if name != "generalisation":  # most untrained models have G = 0, so p = 1 there
        assert (p <= 0.5).mean() > 0.3  # and the test has power to see a p-value that is stuck


def test_that_test_sees_p_values_that_are_too_small():
    """As of the larger of two statistics held against a null of one."""
    draws = np.random.default_rng(0).standard_normal((500, 41))
    p = (1 + (draws[:, 2:] >= draws[:, :2].max(1, keepdims=True)).sum(1)) / 40
    assert kstest(p, "uniform", alternative="greater").pvalue < 1 / 50_000
