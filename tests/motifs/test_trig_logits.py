"""Planted characters are recovered, lookup tables and wrong signs rejected, and mutants caught."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors import trig_logits
from detectors.core.errors import Undetermined
from detectors.core.groups import Group
from detectors.judging.calibration import calibration
from detectors.motifs import trig_logits as module
from detectors.subjects.operands import edits, plane
from detectors.subjects.operands.task import Task
from fixtures.strategies import planted, planted_groups
from fixtures.transforms import move_tokens, rotate_residual, with_weights
from models_zoo import logit_mixture, lookup_table, trig_mlp
from models_zoo.hostile.constructions import one_hot, unseen_split, up_to_order
from tests.motifs.made import characters, half, of_characters, with_logits

THRESHOLD = calibration()["rows"]["trig_logits"]["threshold"]
FEW = {"draws": 39}


def unseen(spec: str) -> np.ndarray:
    """Of a + b mod p with half of the pairs trained on: those that are in neither order."""
    return ~up_to_order(half(spec))


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


@pytest.mark.parametrize("train", [None, half("add:23")])
def test_similarities_are_cosines_and_positive_ones_alone_count(train):
    score = trig_logits(of_characters("add:23", (2, 2.0), (5, 1.0), (7, -2.0), train=train), **FEW)
    assert score.irreps == score.key_irreps == ("freq_2", "freq_5")
    assert (score.dimensions, score.frequencies) == ((2, 2), (2, 5))
    assert score.similarity == pytest.approx((2 / 3, 1 / 3))
    assert score.explained_all_pairs == pytest.approx(5 / 9)
    if train is None:
        assert (score.basis, score.explained_test_pairs) == ("all_pairs", None)
    else:
        assert score.basis == "unseen_pairs"
        assert score.explained_test_pairs == pytest.approx(5 / 9)


@pytest.mark.parametrize("told", [True, False])
def test_the_value_is_the_share_times_the_gini_of_the_spectrum_with_and_without_a_split(told):
    """Of eleven equal dimensions shares of 0.36 and 0.64 have the Gini 1 - (0.36 + (2 * 0.36 + 0.64)) / 11."""
    score = trig_logits(of_characters("add:23", (2, 3.0), (5, 4.0), train=half("add:23") if told else None), **FEW)
    concentration, chance = (1 - (0.36 + 2 * 0.36 + 0.64) / 11) / (1 - 1 / 11), score.null.mean
    assert score.concentration == pytest.approx(concentration)
    assert score.value == pytest.approx((concentration - chance) / (1 - chance))
    assert 0 < chance < 0.1
    assert score.null.p_value == 1 / 40
    assert score.pairs == (int(unseen("add:23").sum()) if told else 529)
    assert score.remark == ""


def test_what_characters_do_not_explain_counts_once():
    """A negative character holds half of the squares, so that one positive one is worth a half."""
    for train in (None, half("add:23")):
        score = trig_logits(of_characters("add:23", (2, 1.0), (5, -1.0), train=train), **FEW)
        chance = score.null.mean
        assert score.concentration == pytest.approx(1)
        assert score.value == pytest.approx((0.5 - chance) / (1 - chance))


@pytest.mark.parametrize("told", [True, False])
def test_exact_one_hot_logits_are_flat_and_said_to_be(told):
    """1 at the right answer of every pair: all of it characters, all of them alike."""
    task = Task.parse("add:29")
    score = trig_logits(with_logits(task, one_hot(task).numpy(), half("add:29") if told else None), **FEW)
    assert score.explained_all_pairs == pytest.approx(1)
    assert score.concentration == pytest.approx(0, abs=1e-6)
    assert score.value < 0.01
    assert "flat" in score.remark


def test_a_network_of_every_frequency_is_flat_and_only_unseen_pairs_could_tell_it_from_a_table():
    """(1 + cos(w(a - b))) cos(w(a + b - c)) summed over all w: the character is two thirds of each."""
    view = trig_mlp(p=13, frequencies=range(1, 7), act_fn="square")
    with pytest.raises(Undetermined, match=r"67% of the logits, with a flat spectrum .*, as its neurons do \(80% of"):
        trig_logits(view, **FEW)
    told = trig_logits(view.with_train_mask(half("add:13")), **FEW)
    assert told.basis == "unseen_pairs"
    assert "flat" in told.remark
    few = detectors.run(view.with_train_mask(unseen_split(13, 31, 0)), names=["trig_logits"])[0]
    assert few.verdict == "inconclusive"
    assert "Unseen pairs alone could tell" in few.reason


def test_a_spectrum_more_peaked_than_its_strongest_irrep_could_be_counts_as_peaked():
    """The sign has 1 of 23 dimensions, the standard irrep 9: with nearly all of the power in both the Gini is 0.73, and
    0.61 is the largest that the standard one, which is stronger, has alone.
    """
    named = {irrep.name: i for i, irrep in enumerate(Group.from_name("S4").irreps)}
    score = trig_logits(of_characters("compose:S4", (named["sign"], 0.7), (named["standard"], 0.71)), **FEW)
    assert score.value == pytest.approx(1)


def test_a_group_of_one_irrep_has_no_spectrum_to_be_peaked():
    with pytest.raises(Undetermined, match="100% of the logits, with a flat spectrum"):
        trig_logits(of_characters("add:3", (1, 1.0)), **FEW)


def test_similarities_above_half_a_percent_are_listed():
    score = trig_logits(
        of_characters("add:23", (2, 1.0), (5, 0.0051), (7, 0.0049), (9, -0.1), train=half("add:23")), **FEW
    )
    assert score.irreps == ("freq_2", "freq_5")


def test_key_is_what_rises_above_its_cut_on_unseen_pairs():
    spec, train = "add:23", half("add:23")
    logits = characters(spec, (2, 1.0)) + np.where(train[:, None], characters(spec, (5, 1.0)), 0)
    view = with_logits(Task.parse(spec), logits, train)
    score = trig_logits(view, **FEW)
    assert score.irreps[:2] == ("freq_2", "freq_5")
    assert score.key_irreps == ("freq_2",)
    # of squares: 1 on every pair and 1 on half of them
    assert score.similarity[:2] == pytest.approx(np.array([1, 0.5]) / 1.5**0.5, abs=0.02)
    assert score.explained_test_pairs == pytest.approx(1)
    assert score.explained_all_pairs == pytest.approx(5 / 6, abs=0.02)
    unknown = trig_logits(view.with_train_mask(None), **FEW)
    assert unknown.key_irreps[:2] == ("freq_2", "freq_5")
    against = np.where(train[:, None], characters(spec, (5, 1.0)), characters(spec, (5, -0.5)))
    score = trig_logits(with_logits(Task.parse(spec), characters(spec, (2, 1.0)) + against, train), **FEW)
    assert score.irreps[:2] == ("freq_2", "freq_5")
    assert score.key_irreps == ("freq_2",)


def test_a_training_set_of_all_pairs_leaves_none_to_be_tested_on():
    view = of_characters("add:11", (2, 1.0), train=np.ones(121, dtype=bool))
    score = trig_logits(view, **FEW)
    assert (score.basis, score.explained_test_pairs) == ("all_pairs", None)


def test_what_carries_beyond_chance_is_removed_though_it_is_not_key():
    """Under much noise of its own frequency 5 answers most pairs, with a share between its chance and its cut."""
    spec = "add:23"
    noise = np.random.default_rng(1).standard_normal((529, 23))
    view = with_logits(Task.parse(spec), characters(spec, (2, 6.0), (5, 0.25)) + 0.05 * noise, half(spec))
    score = trig_logits(view, draws=199)
    weak = score.irreps.index("freq_5")
    assert "freq_5" not in score.key_irreps
    assert score.similarity[weak] ** 2 < score.key_cuts[weak]
    edit = edits.edit_logits(view, view.plane.among(torch.from_numpy(unseen(spec))))
    alone, both = (
        edits.cause(view, edits.of_characters(view.group, some), edit, seed=0).necessity for some in ([2], [2, 5])
    )
    assert score.causal.necessity >= both > alone


def test_the_null_is_drawn_on_1024_pairs_at_most():
    assert trig_logits(trig_mlp(p=37, frequencies=(3,)), **FEW).null.permuted == "labels of 1024 pairs"
    assert trig_logits(trig_mlp(p=31, frequencies=(3,)), **FEW).null.permuted == "labels of 961 pairs"
    view = trig_mlp(p=31, frequencies=(3,), train_fraction=0.5)
    assert trig_logits(view, **FEW).null.permuted == f"labels of {int(unseen('add:31').sum())} unseen pairs"


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


@given(offset=st.floats(-1e3, 1e3), scale=st.floats(0.01, 100))
def test_offsets_and_scale_change_nothing(offset, scale):
    task, logits = Task.parse("add:11"), characters("add:11", (2, 2.0), (5, 1.0))
    before, after = (
        trig_logits(with_logits(task, logits), **FEW),
        trig_logits(with_logits(task, scale * (logits + offset)), **FEW),
    )
    assert after.value == pytest.approx(before.value, abs=1e-3)
    assert after.frequencies == before.frequencies == (2, 5)


def test_a_rotated_stream_changes_nothing(grokked):
    before, after = (trig_logits(view, **FEW) for view in (grokked, rotate_residual(grokked, 0)))
    assert after.value == pytest.approx(before.value, abs=1e-4)


def test_relabelled_tokens_drop_to_the_null_and_come_back_with_the_table(grokked, tmp_path):
    perm = np.random.default_rng(0).permutation(53)
    hidden = move_tokens(grokked, perm, perm)
    assert trig_logits(hidden, **FEW).value < THRESHOLD
    table = np.empty((53, 53), dtype=np.int64)
    table[np.ix_(perm, perm)] = perm[grokked.task.answer]
    np.save(tmp_path / "t.npy", table)
    found = with_weights(hidden, task=detectors.Task.parse(f"table:{tmp_path / 't.npy'}")).with_train_mask(None)
    before, after = trig_logits(grokked, **FEW), trig_logits(found, **FEW)
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
        "whole",
        lambda self, k: self.logits[self.pairs[k]][:, self.answers].double() + 1,
    ),
    "share not taken times the concentration": (module, "concentration", lambda group, cosines: torch.ones(())),
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
        test_exact_one_hot_logits_are_flat_and_said_to_be(True)
