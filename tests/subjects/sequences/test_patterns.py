"""Mass beyond other sequences' patterns, against a loop that does what the definition says."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.core.errors import NotApplicable
from detectors.core.nulls import step_down
from detectors.subjects.sequences.generators import Sequences
from detectors.subjects.sequences.patterns import Looks, Sample, excess, mean_of_stratum, sample_of, uniform, weights
from detectors.subjects.sequences.task import SequenceTask
from detectors.subjects.sequences.view import SequenceView, allowed
from models_zoo.sequences import bench

TOKENS = torch.tensor([[9, 1, 2, 9], [9, 2, 2, 9], [9, 1, 1, 9]])


def sample(tokens, targets=None, pad=None, causal=True):
    keys = allowed(tokens, causal, pad)
    stratum = torch.unique(keys.flatten(1), dim=0, return_inverse=True)[1]
    return Sample(tokens, tokens if targets is None else targets, keys, stratum)


def test_markers_are_tokens_that_stand_at_one_place_and_nowhere_else():
    assert not bool(sample(TOKENS).markers.any())  # 9 stands at two places
    tokens = torch.tensor([[7, 1, 2, 8], [7, 2, 2, 8], [7, 1, 1, 8]])
    assert sample(tokens).markers.int().tolist() == [[1, 0, 0, 1]] * 3
    assert not bool(sample(torch.tensor([[7, 1], [1, 7]])).markers.any())


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.booleans())
def test_the_excess_is_what_the_definition_says(seed, padded):
    """mass(b, b) less the mean of mass(c, b) over other sequences c of the stratum; could: 1 less that."""
    rng = np.random.default_rng(seed)
    tokens = torch.from_numpy(rng.integers(0, 3, (7, 5)))
    tokens[:, 0] = 5
    if padded:
        tokens[:3, 4] = 6
    one = sample(tokens, pad=6 if padded else None)
    pattern = torch.rand(7, 2, 5, 5, generator=torch.Generator().manual_seed(seed)) * one.keys[:, None]
    pattern = pattern / pattern.sum(-1, keepdim=True).clamp_min(1e-9)
    at = (tokens[:, :, None] == tokens[:, None, :]) & one.keys
    weight, _ = weights(Looks(at), one.stratum)
    found = excess(pattern, weight, one.stratum, 5, np.random.default_rng(0))
    for h in range(2):
        for q in range(5):
            own = others = rows = 0.0
            for b in range(7):
                alike = [c for c in range(7) if c != b and one.stratum[c] == one.stratum[b]]
                mass = [float((pattern[c, h, q] * at[b, q]).sum()) for c in (b, *alike)]
                own, others = own + mass[0], others + sum(mass[1:]) / len(alike)
                rows += bool(at[b, q].any())
            assert float(found.found[h, q]) == pytest.approx(own - others, abs=1e-5)
            assert float(found.could[h, q]) == pytest.approx(rows - others, abs=1e-5)


def test_exchanging_templates_that_are_alike_changes_nothing_and_others_do():
    tokens = torch.arange(24).reshape(8, 3) % 7
    one = sample(tokens)
    pattern = torch.zeros(8, 1, 3, 3)
    pattern[:, 0, 2] = torch.nn.functional.one_hot(torch.arange(8) % 2, 3).float()
    same = torch.zeros(8, 3, 3, dtype=torch.bool)
    same[:, 2, 1] = True
    null = excess(pattern, weights(Looks(same), one.stratum)[0], one.stratum, 40, np.random.default_rng(0)).null
    assert null.abs().max() < 1e-6
    follows = same.clone()
    follows[:, 2] = torch.nn.functional.one_hot(torch.arange(8) % 2, 3).bool()
    found = excess(pattern, weights(Looks(follows), one.stratum)[0], one.stratum, 400, np.random.default_rng(0))
    assert float(found.found.sum()) == pytest.approx(8 - 8 * 3 / 7)  # 3 of 7 others look there too
    assert float(found.observed) == pytest.approx(1.0)  # as much as can be had beyond the 4 of 8 of all permutations
    assert float(found.null.mean()) == pytest.approx(0.0, abs=0.04)


def test_with_keys_to_avoid_a_perfect_head_has_one_and_a_head_of_places_none():
    rng = np.random.default_rng(1)
    same = torch.from_numpy(rng.random(40) < 0.3)
    at, avoid = torch.zeros(2, 40, 2, 2, dtype=torch.bool)
    at[:, 1, 0], avoid[:, 1, 0] = same, ~same
    tokens = torch.from_numpy(rng.integers(0, 9, (40, 2)))
    one = sample(tokens)
    weight, _ = weights(Looks(at, avoid), one.stratum)
    perfect, places = torch.zeros(2, 40, 1, 2, 2)
    perfect[:, 0, 1, 0], places[:, 0, 1, 0] = same.float(), 1.0
    for pattern, value in ((perfect, 1.0), (places, 0.0)):
        found = excess(pattern, weight, one.stratum, 2, rng)
        assert float(found.found.sum() / found.could.sum()) == pytest.approx(value, abs=0.05)


def test_means_are_of_sequences_with_the_same_keys():
    x = torch.tensor([[1.0], [3.0], [10.0]])
    assert mean_of_stratum(x, torch.tensor([0, 0, 1])).tolist() == [[2.0], [2.0], [10.0]]
    assert uniform(sample(TOKENS)).sum(-1).unique().tolist() == [1.0]


def test_too_few_sequences_that_may_be_exchanged_are_said_to_be():
    view = bench.view("written.sorting/0")
    few = SequenceTask("few", lambda rng, batch, v, n: Sequences(*(x[:5] for x in view.task.draw(rng, 5, v, n))))
    with pytest.raises(NotApplicable, match="no 8 sequences"):
        sample_of(SequenceView(view.network, few))


def test_p_values_are_uniform_for_heads_that_know_nothing_of_the_tokens():
    """Also the smallest over four heads, which is what a report says of a model."""
    rng, small = np.random.default_rng(5), []
    for _ in range(300):
        one = sample(torch.from_numpy(rng.integers(0, 4, (20, 6))))
        pattern = torch.from_numpy(rng.dirichlet(np.ones(6), (20, 4, 6))).float() * one.keys[:, None]
        at = (one.tokens[:, :, None] == one.tokens[:, None, :]) & one.keys
        found = excess(pattern, weights(Looks(at), one.stratum)[0], one.stratum, 39, rng)
        small.append(min(step_down(found.observed, found.null)) <= 0.05)
    assert 0.02 <= np.mean(small) <= 0.09  # 0.05, four standard errors about it
