"""Planted irreps are recovered, decoys rejected, invariances kept, and mutants caught."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors import memorisation, sparse_fourier_embedding
from detectors.core import spectrum
from detectors.core.registry import picture_of
from detectors.judging.calibration import calibration
from detectors.motifs import sparse_fourier_embedding as module
from detectors.rewire import RESIDUAL, _around
from detectors.subjects.hooks import Hook
from detectors.subjects.operands.edits import cause, edit_embedding, of_irreps
from detectors.subjects.operands.view import ModelView
from fixtures.strategies import planted, planted_groups
from fixtures.transforms import with_weights
from models_zoo import trig_mlp
from models_zoo.analytic import _BilinearNetwork
from models_zoo.decoys import sparse_memoriser, unread_fourier_embedding

THRESHOLD = calibration()["rows"]["sparse_fourier_embedding"]["threshold"]
FEW = {"draws": 39}
KEYS = {"draws": 199}  # enough that what is key is ranked, and no quantile of a fitted law


class Embedded:
    """Rows [n, d] of either operand, whose products are read at random: a stream, of which no direction is a neuron."""

    n_layers = 1

    def __init__(self, *tables: torch.Tensor) -> None:
        (self.n_tokens, d), self.tables, self.weights = tables[0].shape, tables, {}
        self.architecture = {"kind": "embedding"}
        self.read = torch.randn(d, self.n_tokens, generator=torch.Generator().manual_seed(0))

    def forward(self, tokens: torch.Tensor, hook: Hook) -> torch.Tensor:
        rows = hook("hook_embed", torch.stack([t[tokens[:, i]] for i, t in enumerate(self.tables)], 1))
        return hook("blocks.0.mlp.hook_post", rows.prod(1, keepdim=True))[:, 0] @ self.read

    def embedding(self, operand: int) -> torch.Tensor:
        return self.tables[operand]

    def readout(self, layer: int) -> torch.Tensor:
        return self.read


def embedded(p: int, left: list[np.ndarray], right: list[np.ndarray] | None = None) -> ModelView:
    """A model of a + b mod p whose operands are embedded as these columns; what it answers is of no concern."""
    rows = [torch.from_numpy(np.stack(columns, axis=1)).float() for columns in (left, right or left)]
    return ModelView(Embedded(*rows), f"add:{p}")


def waves(p: int, **amplitudes: float) -> list[np.ndarray]:
    """Cosine and sine columns: waves(23, k2=1.0) holds frequency 2 alone."""
    angles = {name: 2 * np.pi * int(name[1:]) * np.arange(p) / p for name in amplitudes}
    return [amplitudes[name] * f(angle) for name, angle in angles.items() for f in (np.cos, np.sin)]


@given(planted())
def test_planted_frequencies_are_recovered(case):
    view, frequencies = case
    score = sparse_fourier_embedding(view, **KEYS)
    assert set(score.frequencies) == set(frequencies)
    assert score.null.p_value == 1 / 200
    assert score.value > THRESHOLD


@given(planted_groups())
def test_a_planted_irrep_is_recovered_in_any_group(case):
    view, irrep = case
    score = sparse_fourier_embedding(view, **KEYS)
    assert score.key_irreps == (irrep,)
    assert score.value == pytest.approx(1)


def test_shares_are_the_squared_amplitudes():
    score = sparse_fourier_embedding(embedded(53, waves(53, k2=2.0, k5=1.0)), **KEYS)
    assert score.frequencies == (2, 5)
    assert score.power[:2] == pytest.approx((0.8, 0.2))
    # twenty-six irreps, shares 0.8 and 0.2: one less twice the area under the Lorenz curve, by hand
    assert score.gini == pytest.approx(1 - (0.2 + (2 * 0.2 + 0.8)) / 26)
    # of fifty-two norms two are 2 and two are 1: shares of 1/6, 1/6, 1/3 and 1/3
    assert score.gini_norms == pytest.approx(1 - (1 / 6 + 3 / 6 + 6 / 6 + 10 / 6) / 52, abs=1e-6)


@pytest.mark.parametrize(("sign", "largest"), [(2.0, 1 - 1 / 11), (0.5, 1 - 2 / 11)])
def test_the_value_is_the_gini_above_chance_over_the_largest_that_the_strongest_irrep_allows(sign, largest):
    """Of Z/12 the sign has one dimension of the eleven, a frequency two."""
    columns = [*waves(12, k2=1.0), sign * (-1.0) ** np.arange(12)]
    score = sparse_fourier_embedding(embedded(12, columns), **FEW)
    chance = score.null.mean
    assert score.value == pytest.approx((score.gini - chance) / (largest - chance))
    assert 0 < chance < score.gini
    assert (score.irreps[0], score.dimensions[0]) == (("sign", 1) if sign > 1 else ("freq_2", 2))


def test_of_two_operands_the_weaker_counts():
    pure, mixed = waves(23, k2=1.0) * 2, waves(23, k2=1.0, k5=1.0)
    both, of_pure, of_mixed = (
        sparse_fourier_embedding(embedded(23, *rows), **FEW) for rows in ((pure, mixed), (pure,), (mixed,))
    )
    assert both.gini == of_mixed.gini == pytest.approx(1 - 2 / 11)  # two of eleven equal shares
    assert both.gini_norms == of_mixed.gini_norms != of_pure.gini_norms
    assert both.value == of_mixed.value < of_pure.value
    assert sparse_fourier_embedding(embedded(23, mixed, pure), **FEW).value == both.value
    assert both.power[:2] == pytest.approx((0.75, 0.25))
    assert both.null.mean < min(of_pure.null.mean, of_mixed.null.mean)  # of the smaller of two in each draw
    assert both.null.permuted == "embedding rows"


def test_lists_are_parallel_and_key_is_what_rises_above_its_cut():
    noise = np.random.default_rng(0).standard_normal((23, 4))
    score = sparse_fourier_embedding(embedded(23, [*waves(23, k2=3.0, k5=2.0), *noise.T]), **KEYS)
    assert sorted(score.irreps) == sorted(f"freq_{k}" for k in range(1, 12))
    assert list(score.power) == sorted(score.power, reverse=True)
    assert sum(score.power) == pytest.approx(1)
    above = [k for k, share, cut in zip(score.irreps, score.power, score.key_cuts, strict=True) if share > cut]
    assert score.key_irreps == tuple(above) == ("freq_2", "freq_5")
    bars = picture_of(sparse_fourier_embedding)(score)[0].data
    assert (bars.names, bars.heights, bars.chance) == (score.irreps, score.power, score.key_cuts)
    assert (bars.key, bars.unit, bars.form) == (score.key_irreps, "share of the power", ".0%")


def test_what_carries_beyond_chance_is_removed_though_it_is_not_key():
    """Frequency 5 has a share between its chance and its cut in the embedding, and products that make up for it."""
    weak, angles = 0.55, 2 * np.pi * np.outer(np.arange(11), [3, 5]) / 11
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=2)  # [token, frequency, cos or sin]
    products = np.zeros((2, 2, 2, 2, 2, 2))  # of a, of b, in the neuron
    for i, size in enumerate((1, 1 / weak**2)):
        products[i, 0, i, 0, i, 0] = products[i, 0, i, 1, i, 1] = products[i, 1, i, 0, i, 1] = size
        products[i, 1, i, 1, i, 0] = -size
    table = torch.from_numpy(rows * np.array([1, weak])[:, None]).float().reshape(11, 4)
    mixed = torch.from_numpy(products).float().reshape(4, 4, 4)
    view = ModelView(
        _BilinearNetwork(table, mixed, torch.from_numpy(rows).float().reshape(11, 4).T.contiguous()), "add:11"
    )
    score = sparse_fourier_embedding(view, **FEW)
    assert score.frequencies == (3,)
    assert score.power[1] == pytest.approx(weak**2 / (1 + weak**2))
    assert 2 / 10 < score.power[1] < score.key_cuts[1]
    assert (score.causal.necessity, score.causal.sufficiency) == (1, 1)
    assert cause(view, of_irreps(view.group, [3]), edit_embedding(view), seed=0).necessity == 0


SMALL = embedded(23, [2 * waves(23, k2=1.0)[0], waves(23, k7=1.0)[0], *waves(23, k7=0.1)])  # mostly cosines


def other(rows: torch.Tensor):
    return sparse_fourier_embedding(ModelView(Embedded(rows, rows), SMALL.task), **FEW)


def test_scale_rotation_and_a_huge_constant_change_nothing():
    rows, before = SMALL.embedding(0), sparse_fourier_embedding(SMALL, **FEW)
    turn = torch.from_numpy(np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))[0]).float()
    for changed in (3 * rows, rows @ turn, 100 + rows):
        after = other(changed)
        assert after.gini == pytest.approx(before.gini, abs=1e-4)
        assert after.value == pytest.approx(before.value, abs=1e-4)
        assert after.frequencies == before.frequencies


@given(shift=st.integers(1, 22), unit=st.integers(2, 22))
def test_a_shift_changes_nothing_and_an_automorphism_moves_the_frequencies(shift, unit):
    rows, before = SMALL.embedding(0), sparse_fourier_embedding(SMALL, **FEW)
    shifted, moved = other(rows.roll(shift, 0)), other(rows[torch.arange(23) * unit % 23])
    assert shifted.gini == pytest.approx(before.gini, abs=1e-6) == moved.gini
    assert shifted.frequencies == before.frequencies
    assert list(moved.frequencies) == [min(k * unit % 23, -k * unit % 23) for k in before.frequencies]


def test_relabelled_tokens_drop_to_the_null():
    rng, columns = np.random.default_rng(0), np.stack(waves(53, k2=1.0, k5=1.0, k9=1.0, k14=1.0, k20=1.0))
    assert sparse_fourier_embedding(embedded(53, list(columns)), **FEW).value > 0.8
    scores = [sparse_fourier_embedding(embedded(53, list(columns[:, rng.permutation(53)])), **FEW) for _ in range(9)]
    assert max(score.value for score in scores) < THRESHOLD
    assert np.median([score.null.p_value for score in scores]) > 0.1


@pytest.mark.parametrize(("act_fn", "degree"), [("relu", 1), ("square", 2)])
def test_one_neuron_of_an_mlp_in_another_unit_changes_nothing(act_fn, degree):
    """Its input weights times 1e4, or 1e2 where that is squared, and its output weights divided by 1e4."""
    view = trig_mlp(p=23, frequencies=(2, 5), act_fn=act_fn)
    w = [view.weight(name) for name in ("W_x", "W_y", "W_U")]
    scale = torch.ones(w[0].shape[1])
    scale[3] = 1e4
    into = scale ** (1 / degree)
    other = with_weights(view, W_x=w[0] * into, W_y=w[1] * into, W_U=w[2] / scale[:, None])
    before, after = (sparse_fourier_embedding(v, **FEW) for v in (view, other))
    assert after.value == pytest.approx(before.value, abs=1e-4)
    assert after.gini == pytest.approx(before.gini, abs=1e-4)
    assert dict(zip(after.irreps, after.power, strict=True)) == pytest.approx(
        dict(zip(before.irreps, before.power, strict=True)), abs=1e-4
    )
    assert set(after.key_irreps) == set(before.key_irreps) == {"freq_2", "freq_5"}


def test_a_direction_that_no_neuron_passes_on_weighs_nothing():
    """Half of the neurons hold frequency 7, and their output weights are zero."""
    view = trig_mlp(p=23, frequencies=(2, 7))
    read = view.weight("W_U") * torch.tensor([1.0] * 9 + [0.0] * 9)[:, None]
    score = sparse_fourier_embedding(with_weights(view, W_U=read), **FEW)
    assert score.irreps[0] == "freq_2"
    assert score.power[0] == pytest.approx(1)


@pytest.mark.parametrize("rank", [1, 2, 4, 10])
def test_low_rank_random_rows_are_not_sparse(rank):
    rng = np.random.default_rng(rank)
    rows = torch.from_numpy(rng.standard_normal((53, rank)) @ rng.standard_normal((rank, 18))).float()
    score = sparse_fourier_embedding(ModelView(Embedded(rows, rows), "add:53"), **FEW)
    assert score.gini_norms > 0.05  # a plain Gini sees structure
    assert score.value < THRESHOLD


def test_directions_that_nothing_reads_are_inert():
    """Fourier columns of size ten in the residual stream of a memoriser, with zero weights to every reader."""
    view = unread_fourier_embedding(of="add53_memorised", frequencies=[3, 7])
    detection = detectors.run(view, names=["sparse_fourier_embedding"])[0]
    assert detection.score > THRESHOLD
    assert set(detection.evidence["frequencies"]) == {3, 7}
    assert detection.verdict == "inert"


def test_a_memoriser_may_have_a_sparse_embedding():
    view = sparse_memoriser(p=23, frequencies=[3, 7], train_fraction=0.5)
    assert sparse_fourier_embedding(view, **FEW).value > THRESHOLD
    assert memorisation(view, **FEW).value > 0.9


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
def test_mutants_are_caught(mutant, monkeypatch):
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises((AssertionError, RuntimeError)):
        test_shares_are_the_squared_amplitudes()
        test_scale_rotation_and_a_huge_constant_change_nothing()
        test_a_shift_changes_nothing_and_an_automorphism_moves_the_frequencies.hypothesis.inner_test(5, 2)


def test_the_unit_of_a_direction_of_a_stream_decides_and_the_declaration_says_so(grokked):
    """As documented: the same function under the threshold, since a direction of little power is made the largest."""
    rows = grokked.embedding(0).double()
    turn = torch.linalg.svd(rows - rows.mean(0)).Vh.T
    unit = torch.ones(rows.shape[1]).double()
    unit[10] = 100.0
    into, back = ((turn * unit).float(), (turn / unit).T.float())
    maps = (lambda x: x @ into, lambda x: x @ back)
    other = _around(grokked, at=dict.fromkeys(RESIDUAL, maps), embed=lambda _, x: x @ into)
    torch.testing.assert_close(other.logits(), grokked.logits(), atol=1e-3, rtol=1e-4)
    before, after = (sparse_fourier_embedding(view, **FEW) for view in (grokked, other))
    assert before.weighed_by == after.weighed_by == "unit"
    assert before.value == pytest.approx(0.87, abs=0.01)
    assert after.value < THRESHOLD
    assert "residual_scale" not in sparse_fourier_embedding.__detector__.invariant_to
