"""Planted irreps are recovered, decoys rejected, invariances kept, and mutants caught."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors import trig_product_neurons
from detectors.core import spectrum
from detectors.core.registry import picture_of
from detectors.judging.calibration import calibration
from detectors.subjects.operands import families
from fixtures.strategies import planted, planted_groups
from fixtures.transforms import move_tokens, permute_neurons, rotate_residual, with_weights
from models_zoo import trig_mlp
from tests.motifs.made import wave, with_neurons

THRESHOLD = calibration()["rows"]["trig_product_neurons"]["threshold"]
FEW = {"draws": 39}
KEYS = {"draws": 199}  # enough that what is key is ranked, and no quantile of a fitted law
pictures = picture_of(trig_product_neurons)


@pytest.mark.unchecked
@given(planted())
def test_planted_frequencies_are_recovered(case):
    view, frequencies = case
    score = trig_product_neurons(view, **KEYS)
    assert set(score.frequencies) == set(frequencies)
    assert set(score.neurons_per_irrep) == {9}
    assert score.null.p_value == 1 / 200
    assert score.value > 0.8


@pytest.mark.unchecked
@given(planted_groups())
def test_a_planted_irrep_is_recovered_in_any_group(case):
    view, irrep = case
    score = trig_product_neurons(view, **KEYS)
    assert score.key_irreps == (irrep,)
    assert score.mean_share == pytest.approx(1)
    assert score.with_harmonic is None


def test_square_neurons_have_four_fifths_and_all_with_the_harmonic():
    # (cos A + cos B)^2 = 1 + cos(2A)/2 + cos(2B)/2 + 2 cos A cos B: powers 1/8, 1/8 outside and 1 inside
    score = trig_product_neurons(trig_mlp(p=13, frequencies=(2,), act_fn="square"), **FEW)
    assert score.mean_share == pytest.approx(0.8)
    assert score.with_harmonic == pytest.approx(1.0)
    assert score.share_above_085 == 0


def test_shares_are_weighted_by_power_and_the_value_is_what_is_above_chance():
    """Three neurons of total powers 10, 4 and 2, of which 9, 4 and 1.2 are in their best family."""
    values = [3 * wave(13, 2) + wave(13, 5), 2 * wave(13, 2), 1.2**0.5 * wave(13, 3) + 0.8**0.5 * wave(13, 1) + 7]
    score = trig_product_neurons(with_neurons(values), draws=999)
    assert score.mean_share == pytest.approx(14.2 / 16)
    assert score.irreps == ("freq_2", "freq_3")  # freq_5 and freq_1 are no neuron's best
    assert score.dimensions == (2, 2)
    assert score.power == pytest.approx(((0.9 + 1) / 3, 0.6 / 3))  # every neuron counted alike
    assert score.neurons_per_irrep == (2, 1)
    assert (score.live, score.dead) == (3, 0)
    assert score.share_above_085 == pytest.approx(2 / 3)
    chance = score.null.mean
    assert score.value == pytest.approx((score.mean_share - chance) / (1 - chance))
    assert 0 < chance < 0.6
    above = [k for k, share, cut in zip(score.irreps, score.power, score.key_cuts, strict=True) if share > cut]
    assert score.key_irreps == tuple(above) == ("freq_2",)
    # the third neuron's 2 pooled with 6 and 4, which it has not, or 1 with 2; the first's 2 with 4, 5 with 3
    assert score.with_harmonic == pytest.approx(score.mean_share)


@pytest.mark.parametrize(("share", "above"), [(0.849, 0.0), (0.851, 1.0)])
def test_the_published_figure_counts_neurons_above_85_percent(share, above):
    score = trig_product_neurons(with_neurons([share**0.5 * wave(11, 2) + (1 - share) ** 0.5 * wave(11, 3)]), **FEW)
    assert score.mean_share == pytest.approx(share)
    assert score.share_above_085 == above
    assert pictures(score)[1].data.line == 0.85


def test_a_neuron_is_dead_under_a_thousandth_of_the_median_amplitude_of_those_that_vary():
    sizes = [1.0, 1.1, 0.9, 1.1e-3, 0.9e-3, 0, 0, 0, 0, 0]
    score = trig_product_neurons(with_neurons([size * wave(11, 2) for size in sizes]), **FEW)
    assert (score.live, score.dead) == (4, 6)
    assert score.neurons.numbers == (1, 0, 2, 3)
    assert score.null.permuted == "tokens of the strongest neurons"


def test_all_neurons_dead_is_a_score_of_zero():
    score = trig_product_neurons(with_neurons(np.ones((3, 7, 7))), **FEW)
    assert (score.value, score.live, score.dead, score.null.p_value) == (0.0, 0, 3, 1.0)
    assert (score.share_above_085, score.irreps, score.neurons, score.causal) == (0.0, (), None, None)
    assert pictures(score) == []


def test_random_neurons_of_a_small_group_have_large_shares_by_chance_alone():
    values = np.random.default_rng(0).standard_normal((200, 5, 5))
    score = trig_product_neurons(with_neurons(values), **FEW)
    assert score.mean_share > 0.4  # two families with eight of the 24 dimensions each: 1/3, and the better has more
    assert score.value < 0.1


def test_what_carries_beyond_chance_is_removed_though_it_is_not_key():
    """Two of 26 neurons are of frequency 5, fewer than chance makes of it, and the others share one readout."""
    turns = 2 * np.pi * np.outer([3, 5], np.arange(11)) / 11
    waves = np.concatenate([np.cos(turns), np.sin(turns)])  # [neuron, c]
    copies = np.array([0, 2] * 12 + [1, 3])
    share = np.array([1 / 12] * 24 + [0.4, 0.4])[:, None]
    sums = np.add.outer(np.arange(11), np.arange(11)) % 11
    view = with_neurons(waves[copies][:, sums], readout=waves[copies] * share)
    score = trig_product_neurons(view, **FEW)
    assert score.irreps == ("freq_5", "freq_3")  # by weight: 2 * 0.16 before 24 / 144
    assert score.frequencies == (3,)
    assert score.power == pytest.approx((2 / 26, 24 / 26))
    assert score.power[0] < score.key_cuts[0]
    assert score.causal.dimensions == 4
    assert (score.causal.necessity, score.causal.sufficiency) == (1, 1)


MANY = 5003


@pytest.fixture(scope="module")
def many():
    """Neurons of Z/3, all alike but for their size: the first are the smallest."""
    return trig_product_neurons(with_neurons(np.linspace(1, 2, MANY)[:, None, None] * wave(3, 1)), **FEW)


def test_chance_is_drawn_on_the_64_strongest_and_a_picture_holds_5000(many):
    assert many.live == MANY
    assert many.neurons.numbers == tuple(range(MANY - 1, 2, -1))
    assert "the strongest 5000 of 5003" in pictures(many)[1].reading


@pytest.mark.parametrize(("budget", "chunks"), [(100, [4, 4, 2]), (130, [5, 5]), (10, [1] * 10)])
def test_neurons_are_taken_apart_as_many_at_a_time_as_the_memory_allows(budget, chunks, monkeypatch):
    seen = []
    monkeypatch.setattr(spectrum, "BUDGET", budget)
    monkeypatch.setattr(families, "family_power", lambda g, k: seen.append(len(k)) or spectrum.family_power(g, k))
    score = trig_product_neurons(with_neurons(np.random.default_rng(0).standard_normal((10, 5, 5))), draws=1)
    assert seen == chunks
    assert score.live == 10


def test_the_null_of_the_64_strongest_is_near_that_of_all(grokked, monkeypatch):
    few = trig_product_neurons(grokked, **FEW).null.mean
    monkeypatch.setattr(families, "NULL_NEURONS", 256)
    assert few == pytest.approx(trig_product_neurons(grokked, **FEW).null.mean, abs=0.005)


def test_rank_six_keeps_what_a_frequency_and_its_harmonics_need(grokked):
    """A ReLU of one frequency has rank three in its family and two more in each harmonic."""
    strongest = torch.tensor(trig_product_neurons(grokked, **FEW).neurons.numbers[: families.NULL_NEURONS])
    cube = spectrum.grid_neurons(grokked.neurons()[:, strongest], grokked.grid).double()
    power = torch.linalg.svdvals(cube - cube.mean((1, 2), keepdim=True)).square()
    kept = power.cumsum(1).sum(0) / power.sum()
    assert kept[families.NULL_RANK - 1] > 0.998 > kept[families.NULL_RANK // 2 - 1]


@given(seed=st.integers(0, 100))
def test_scaled_neurons_in_another_order_keep_their_shares(seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((6, 5, 5))
    order, scale = rng.permutation(6), rng.uniform(0.5, 2, 6)
    before, after = (
        trig_product_neurons(with_neurons(v), draws=1) for v in (values, (values * scale[:, None, None])[order])
    )
    shares = [dict(zip(s.neurons.numbers, s.neurons.shares, strict=True)) for s in (before, after)]
    assert [shares[1][i] for i in range(6)] == pytest.approx([shares[0][i] for i in order], abs=1e-6)


def test_permuted_scaled_neurons_and_a_rotated_stream_change_little(grokked):
    before = trig_product_neurons(grokked, **FEW)
    rotated = trig_product_neurons(rotate_residual(grokked, 0), **FEW)
    assert rotated.mean_share == pytest.approx(before.mean_share, abs=1e-5)
    shuffled = trig_product_neurons(permute_neurons(grokked, 0), **FEW)
    assert shuffled.value == pytest.approx(before.value, abs=1e-4)
    assert shuffled.share_above_085 == pytest.approx(before.share_above_085, abs=1e-9)
    assert set(shuffled.frequencies) == set(before.frequencies)
    assert shuffled.causal.necessity == pytest.approx(before.causal.necessity, abs=0.02)


def test_relabelled_tokens_drop_to_the_null(grokked):
    tokens = np.random.default_rng(0).permutation(53)
    assert trig_product_neurons(move_tokens(grokked, tokens, tokens), **FEW).value < THRESHOLD


@pytest.mark.parametrize("seed", range(2))
def test_a_readout_shuffled_over_neurons_is_not_called_present(grokked, seed):
    """Pure neurons that no longer vote for the answer: the logits hold no characters, and no cause can be shown."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(256))
    broken = with_weights(grokked, blocks__0__mlp__W_out=grokked.weight("blocks.0.mlp.W_out")[order])
    report = detectors.run(broken, names=["trig_product_neurons", "trig_logits"])
    assert report["trig_product_neurons"].score > 0.8
    assert report["trig_product_neurons"].verdict == "inconclusive"
    assert report["trig_logits"].verdict == "absent"


def test_noise_moves_the_score_down():
    noise = np.random.default_rng(0).standard_normal((4, 23, 23))
    values = np.stack([wave(23, k) for k in (1, 1, 5, 5)])
    found = [trig_product_neurons(with_neurons(values + s * noise), **FEW).value for s in (0, 0.5, 1, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert found[0] == pytest.approx(1)
    assert found[-1] < 0.2


def test_the_memoriser_and_the_untrained_are_absent(memorised):
    for view in (memorised, detectors.load("zoo:add53_untrained")):
        assert detectors.run(view, names=["trig_product_neurons"])[0].verdict == "absent"


def uncentred(group, grid):
    total, power = spectrum.family_power(group, grid)
    return total + grid.double().mean((1, 2)).square() * group.order**2, power


MUTANTS = {
    "off-by-one frequency": (detectors.Group, "frequencies", lambda self, irreps: tuple(i + 2 for i in irreps)),
    "no centring": (families, "family_power", uncentred),
    "products dropped": (
        families,
        "family_power",
        lambda g, grid: spectrum.family_power(g, grid.mean(2, keepdim=True).expand_as(grid)),
    ),
    "power taken for the neuron's largest irrep in the other operand": (
        families,
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
