"""Planted characters are recovered, lookup tables and wrong signs rejected, and mutants caught."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors import trig_logits
from detectors.judging.calibration import calibration
from detectors.motifs import trig_logits as module
from detectors.subjects.operands import plane
from fixtures.strategies import planted, planted_groups
from fixtures.transforms import move_tokens, rotate_residual, with_weights
from models_zoo import logit_mixture, lookup_table, trig_mlp

THRESHOLD = calibration()["rows"]["trig_logits"]["threshold"]
FEW = {"draws": 39}


@given(planted(act_fn="square"))
def test_planted_frequencies_are_recovered(case):
    view, frequencies = case
    score = trig_logits(view, **FEW)
    assert set(score.frequencies) >= set(frequencies)
    assert score.irreps[0] in {f"freq_{k}" for k in frequencies}
    # each frequency gives (1 + cos) cos: 2/3 of the power is the character, the rest is orthogonal to all characters
    assert score.explained_all_pairs == pytest.approx(2 / 3, abs=1e-5)


@given(planted_groups())
def test_a_planted_irrep_explains_all_of_the_logits(case):
    view, irrep = case
    score = trig_logits(view, **FEW)
    assert score.key_irreps == (irrep,)
    assert score.explained_all_pairs == pytest.approx(1)
    assert score.similarity == pytest.approx((1.0,))
    assert score.causal.necessity > 0.5
    assert score.causal.sufficiency == 1


@pytest.mark.parametrize("known", [True, False])
def test_a_lookup_table_is_absent(known):
    view = lookup_table("add:29", train_fraction=0.5)
    detection = detectors.run(view if known else view.with_train_mask(None), names=["trig_logits"])[0]
    assert detection.verdict == "absent"
    assert detection.evidence["explained_all_pairs"] > THRESHOLD  # what a fit on all pairs would have said


def test_a_whole_lookup_table_without_a_split_is_absent():
    """One-hot outputs on every pair: a function of a + b - c, but with a flat spectrum."""
    view = lookup_table("add:29", train_fraction=1.0, noise=0.0).with_train_mask(None)
    score = trig_logits(view, **FEW)
    assert score.explained_all_pairs == pytest.approx(1)
    assert score.value < THRESHOLD


def test_negative_characters_do_not_count():
    view = trig_mlp(p=13, frequencies=(2, 5), act_fn="square")
    score = trig_logits(with_weights(view, W_U=-view.weight("W_U")), **FEW)
    assert score.value < THRESHOLD
    assert score.explained_all_pairs == pytest.approx(0, abs=1e-6)


@given(seed=st.integers(0, 100))
def test_offsets_scale_and_rotation_change_nothing(grokked, seed):
    before = trig_logits(grokked, **FEW)
    rotated = trig_logits(rotate_residual(grokked, seed), **FEW)
    assert rotated.value == pytest.approx(before.value, abs=1e-4)
    scaled = with_weights(
        grokked, unembed__W_U=grokked.weight("unembed.W_U") * 0.01, unembed__b_U=torch.full((53,), 1000.0)
    )
    assert trig_logits(scaled, **FEW).value == pytest.approx(before.value, abs=1e-3)
    assert trig_logits(scaled, **FEW).frequencies[:3] == before.frequencies[:3]


def test_relabelled_tokens_drop_to_the_null_and_come_back_with_the_table(grokked, tmp_path):
    perm = np.random.default_rng(0).permutation(53)
    hidden = move_tokens(grokked, perm, perm)
    assert trig_logits(hidden).value < THRESHOLD
    table = np.empty((53, 53), dtype=np.int64)
    table[np.ix_(perm, perm)] = perm[grokked.task.answer]
    np.save(tmp_path / "t.npy", table)
    found = with_weights(hidden, task=detectors.Task.parse(f"table:{tmp_path / 't.npy'}")).with_train_mask(None)
    before, after = trig_logits(grokked), trig_logits(found)
    assert after.explained_all_pairs == pytest.approx(before.explained_all_pairs, abs=1e-6)
    assert after.similarity[:3] == pytest.approx(before.similarity[:3], abs=1e-6)


def test_explained_test_pairs_ignores_what_was_memorised():
    view = logit_mixture("add:23", circuit=0.0, table=20.0, noise=0.01)
    score = trig_logits(view, **FEW)
    assert score.explained_all_pairs > 0.3
    assert score.explained_test_pairs < 0.1


def similar_to_c_inverse(grid, k):
    """Fibres of a b c in place of a b c^-1."""
    rows = grid.rows(k)
    table = torch.from_numpy(grid.group.table)
    place = table[grid.product[k]]
    return torch.zeros(grid.n, dtype=torch.float64).index_add_(0, place.reshape(-1), rows.reshape(-1)) / len(k)


MUTANTS = {
    "off-by-one frequency": (detectors.Group, "frequencies", lambda self, irreps: tuple(i + 2 for i in irreps)),
    "c for c^-1": (plane.LogitGrid, "fibre_mean", similar_to_c_inverse),
    "negative similarities counted": (module, "_shares", lambda cosines: cosines.square()),
    "not centred over answers": (
        plane.LogitGrid,
        "rows",
        lambda self, k: self.logits[self.pairs[k]][:, self.answers].double() + 1,
    ),
    "estimated on all pairs": (plane.LogitGrid, "among", lambda self, mask: torch.arange(self.n**2)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_caught(mutant, monkeypatch):
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises(AssertionError):
        view = trig_mlp(p=13, frequencies=(2,), act_fn="square")
        score = trig_logits(view, **FEW)
        assert score.frequencies == (2,)
        assert score.explained_all_pairs == pytest.approx(2 / 3, abs=1e-5)
        test_negative_characters_do_not_count()
        test_explained_test_pairs_ignores_what_was_memorised()
