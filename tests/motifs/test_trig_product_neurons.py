"""Planted irreps are recovered, decoys rejected, invariances kept, and mutants caught."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors import trig_product_neurons
from detectors.core import spectrum
from detectors.judging.calibration import calibration
from detectors.motifs import trig_product_neurons as module
from fixtures.strategies import planted, planted_groups
from fixtures.transforms import move_tokens, permute_neurons, rotate_residual, with_weights
from models_zoo import trig_mlp

THRESHOLD = calibration()["rows"]["trig_product_neurons"]["threshold"]
FEW = {"draws": 39}


@given(planted())
def test_planted_frequencies_are_recovered(case):
    view, frequencies = case
    score = trig_product_neurons(view, **FEW)
    assert set(score.frequencies) == set(frequencies)
    assert set(score.neurons_per_irrep) == {9}
    assert score.null.p_value == 1 / 40
    assert score.value > 0.8


@given(planted_groups())
def test_a_planted_irrep_is_recovered_in_any_group(case):
    view, irrep = case
    score = trig_product_neurons(view, **FEW)
    assert score.key_irreps == (irrep,)
    assert score.mean_share == pytest.approx(1)


def test_square_neurons_have_four_fifths_and_all_with_the_harmonic():
    # (cos A + cos B)^2 = 1 + cos(2A)/2 + cos(2B)/2 + 2 cos A cos B: powers 1/8, 1/8 outside and 1 inside
    score = trig_product_neurons(trig_mlp(p=13, frequencies=(2,), act_fn="square"), **FEW)
    assert score.mean_share == pytest.approx(0.8)
    assert score.with_harmonic == pytest.approx(1.0)
    assert score.share_above_085 == 0


@given(seed=st.integers(0, 100))
def test_permuted_scaled_neurons_and_a_rotated_stream_change_little(grokked, seed):
    before = trig_product_neurons(grokked, **FEW)
    rotated = trig_product_neurons(rotate_residual(grokked, seed), **FEW)
    assert rotated.mean_share == pytest.approx(before.mean_share, abs=1e-5)
    shuffled = trig_product_neurons(permute_neurons(grokked, seed), **FEW)
    # a neuron's scale is its weight in the mean, so only the shares themselves are invariant
    assert shuffled.share_above_085 == pytest.approx(before.share_above_085, abs=1e-9)
    assert set(shuffled.frequencies) == set(before.frequencies)
    assert shuffled.causal.necessity == pytest.approx(before.causal.necessity, abs=0.02)


def test_relabelled_tokens_drop_to_the_null(grokked):
    tokens = np.random.default_rng(0).permutation(53)
    score = trig_product_neurons(move_tokens(grokked, tokens, tokens))
    assert score.value < THRESHOLD


def test_dead_and_constant_neurons_are_counted_and_not_scored(grokked):
    before = trig_product_neurons(grokked, **FEW)
    w_in, b_in = (grokked.weight(f"blocks.0.mlp.{k}").clone() for k in ("W_in", "b_in"))
    w_in[:, :20], b_in[:10], b_in[10:20] = 0, -1, 1  # ten that never fire, ten that always give 1
    score = trig_product_neurons(with_weights(grokked, blocks__0__mlp__W_in=w_in, blocks__0__mlp__b_in=b_in), **FEW)
    assert score.dead >= before.dead + 19
    assert score.live + score.dead == 256
    assert score.value > 0.8


def test_all_neurons_dead_is_a_score_of_zero(grokked):
    w_in, b_in = grokked.weight("blocks.0.mlp.W_in") * 0, grokked.weight("blocks.0.mlp.b_in") * 0 - 1
    score = trig_product_neurons(with_weights(grokked, blocks__0__mlp__W_in=w_in, blocks__0__mlp__b_in=b_in), **FEW)
    assert (score.value, score.live, score.null.p_value) == (0.0, 0, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_a_readout_shuffled_over_neurons_is_not_called_present(grokked, seed):
    """Pure neurons that no longer vote for the answer: the logits hold no characters, and no cause can be shown."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(256))
    broken = with_weights(grokked, blocks__0__mlp__W_out=grokked.weight("blocks.0.mlp.W_out")[order])
    report = detectors.run(broken, names=["trig_product_neurons", "trig_logits"])
    assert report["trig_product_neurons"].score > 0.8
    assert report["trig_product_neurons"].verdict == "inconclusive"
    assert report["trig_logits"].verdict == "absent"


def test_noise_moves_the_score_down(grokked):
    generator = torch.Generator().manual_seed(0)
    w_in = grokked.weight("blocks.0.mlp.W_in")
    noise = torch.randn(w_in.shape, generator=generator) * w_in.std()
    values = [
        trig_product_neurons(with_weights(grokked, blocks__0__mlp__W_in=w_in + scale * noise), **FEW).value
        for scale in (0, 0.5, 2, 8)
    ]
    assert values == sorted(values, reverse=True)


def test_the_memoriser_and_the_untrained_are_absent(memorised):
    for view in (memorised, detectors.load("zoo:add53_untrained")):
        assert detectors.run(view, names=["trig_product_neurons"])[0].verdict == "absent"


def uncentred(group, grid):
    total, power = spectrum.family_power(group, grid)
    return total + grid.double().mean((1, 2)).square() * group.order**2, power


MUTANTS = {
    "off-by-one frequency": (detectors.Group, "frequencies", lambda self, irreps: tuple(i + 2 for i in irreps)),
    "no centring": (module, "family_power", uncentred),
    "products dropped": (
        module,
        "family_power",
        lambda g, grid: spectrum.family_power(g, grid.mean(2, keepdim=True).expand_as(grid)),
    ),
    "power taken for the neuron's largest irrep in the other operand": (
        module,
        "family_power",
        lambda g, grid: (spectrum.family_power(g, grid)[0], spectrum.family_power(g, grid)[1].flip(1)),
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_caught(mutant, monkeypatch):
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises(AssertionError):
        test_square_neurons_have_four_fifths_and_all_with_the_harmonic()
        assert trig_product_neurons(trig_mlp(p=13, frequencies=(2,)), **FEW).frequencies == (2,)
