"""Planted irreps are recovered, decoys rejected, invariances kept, and mutants caught."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors import sparse_fourier_embedding
from detectors.core import spectrum
from detectors.judging.calibration import calibration
from detectors.motifs import sparse_fourier_embedding as module
from fixtures.strategies import planted, planted_groups
from fixtures.transforms import move_tokens, rotate_residual, with_weights
from models_zoo import trig_mlp

THRESHOLD = calibration()["rows"]["sparse_fourier_embedding"]["threshold"]
FEW = {"draws": 39}


@given(planted())
def test_planted_frequencies_are_recovered(case):
    view, frequencies = case
    score = sparse_fourier_embedding(view, **FEW)
    assert set(score.frequencies) == set(frequencies)
    assert score.null.p_value == 1 / 40
    assert score.value > THRESHOLD


@given(planted_groups())
def test_a_planted_irrep_is_recovered_in_any_group(case):
    view, irrep = case
    score = sparse_fourier_embedding(view, **FEW)
    assert score.key_irreps == (irrep,)
    assert score.value == pytest.approx(1)


def test_shares_are_the_squared_amplitudes():
    # neurons hold amplitude 1 per frequency in the operands; scaling the columns of one by 2 gives it 4 parts in 5
    view = trig_mlp(p=53, frequencies=(2, 5))
    scale = torch.tensor([2.0] * 9 + [1.0] * 9)
    view = with_weights(view, W_x=view.weight("W_x") * scale, W_y=view.weight("W_y") * scale)
    score = sparse_fourier_embedding(view, **FEW)
    assert score.frequencies == (2, 5)
    assert score.power[:2] == pytest.approx((0.8, 0.2))
    # twenty-six irreps, shares 0.8 and 0.2: one less twice the area under the Lorenz curve, by hand
    assert score.gini == pytest.approx(1 - (0.2 + (2 * 0.2 + 0.8)) / 26)


def shared(score):
    return score.value, score.null.p_value, score.gini


@given(seed=st.integers(0, 100))
def test_a_rotated_residual_stream_changes_nothing(grokked, seed):
    before, after = (sparse_fourier_embedding(v, **FEW) for v in (grokked, rotate_residual(grokked, seed)))
    assert shared(after) == pytest.approx(shared(before), abs=1e-5)
    assert after.frequencies == before.frequencies


@given(shift=st.integers(1, 52))
def test_shifted_tokens_change_nothing(grokked, shift):
    tokens = (np.arange(53) + shift) % 53
    before, after = (sparse_fourier_embedding(v, **FEW) for v in (grokked, move_tokens(grokked, tokens)))
    assert after.gini == pytest.approx(before.gini, abs=1e-6)
    assert after.frequencies == before.frequencies


@given(unit=st.integers(2, 52))
def test_an_automorphism_moves_the_frequencies(grokked, unit):
    tokens = (np.arange(53) * unit) % 53
    before, after = (sparse_fourier_embedding(v, **FEW) for v in (grokked, move_tokens(grokked, tokens, tokens)))
    assert after.gini == pytest.approx(before.gini, abs=1e-6)
    moved = [k * pow(unit, -1, 53) % 53 for k in before.frequencies]
    assert list(after.frequencies) == [min(k, 53 - k) for k in moved]


def test_scale_and_a_huge_constant_change_nothing(grokked):
    embed = grokked.weight("embed.W_E")
    before = sparse_fourier_embedding(grokked, **FEW)
    after = sparse_fourier_embedding(with_weights(grokked, embed__W_E=100 + 3 * embed), **FEW)
    assert after.gini == pytest.approx(before.gini, abs=1e-4)
    assert after.frequencies == before.frequencies


def test_relabelled_tokens_drop_to_the_null(grokked):
    tokens = np.random.default_rng(0).permutation(53)
    score = sparse_fourier_embedding(move_tokens(grokked, tokens, tokens))
    assert score.value < THRESHOLD
    assert score.null.p_value > 0.01


@pytest.mark.parametrize("rank", [1, 2, 4, 10])
def test_low_rank_random_rows_are_not_sparse(grokked, rank):
    rng = np.random.default_rng(rank)
    rows = torch.from_numpy(rng.standard_normal((54, rank)) @ rng.standard_normal((rank, 128))).float()
    score = sparse_fourier_embedding(with_weights(grokked, embed__W_E=rows))
    assert score.gini_norms > 0.05  # a plain Gini sees structure
    assert score.value < THRESHOLD


def test_directions_that_nothing_reads_are_inert(memorised):
    """Ten Fourier columns added to the residual stream of a memoriser, with zero weights to every reader."""
    w = memorised.network.weights
    angle = 2 * np.pi * np.outer(np.arange(54), [3, 7]) / 53
    extra = torch.from_numpy(10 * np.concatenate([np.cos(angle), np.sin(angle)], axis=1)).float()
    new = {}
    for name, tensor in w.items():
        if name == "embed.W_E":
            new[name] = torch.cat([tensor, extra], dim=1)
        elif name.endswith(("W_pos", "W_O", "W_out", "b_out")):
            new[name] = torch.nn.functional.pad(tensor, (0, 4))
        elif name.endswith(("W_Q", "W_K", "W_V", "W_in", "W_U")):
            new[name] = torch.nn.functional.pad(tensor, (0, 0, 0, 4))
    from dataclasses import replace

    from detectors.loading.transformer import Transformer
    from detectors.subjects.operands.view import ModelView

    network = Transformer(dict(w) | new, replace(memorised.network.config, d_model=132))
    view = ModelView(network, memorised.task, train_mask=memorised.train_mask)
    torch.testing.assert_close(view.logits(), memorised.logits())
    detection = detectors.run(view, names=["sparse_fourier_embedding"])[0]
    assert detection.score > THRESHOLD
    assert set(detection.evidence["frequencies"]) == {3, 7}
    assert detection.verdict == "inert"


def test_the_memoriser_and_the_untrained_are_absent(memorised):
    for view in (memorised, detectors.load("zoo:add53_untrained")):
        assert detectors.run(view, names=["sparse_fourier_embedding"])[0].verdict == "absent"


MUTANTS = {
    "off-by-one frequency": (detectors.Group, "frequencies", lambda self, irreps: tuple(i + 2 for i in irreps)),
    "wrong axis": (
        module,
        "block_power",
        lambda g, rows: spectrum.block_power(g, rows.T[: g.order, : g.order].contiguous()),
    ),
    "mean not removed": (
        module,
        "block_power",
        lambda g, rows: (
            spectrum.block_power(g, rows) + float(rows.mean(0).square().sum()) * g.order / (len(g.irreps) - 1)
        ),
    ),
    "only the cosine": (
        module,
        "block_power",
        lambda g, rows: torch.stack(
            [(torch.from_numpy(g.basis[:, s.start]) @ rows.double()).square().sum() for s in g.slices[1:]]
        ),
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_caught(mutant, monkeypatch, grokked):
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises((AssertionError, RuntimeError)):
        test_shares_are_the_squared_amplitudes()
        test_scale_and_a_huge_constant_change_nothing(grokked)
        test_shifted_tokens_change_nothing.hypothesis.inner_test(grokked, 5)
