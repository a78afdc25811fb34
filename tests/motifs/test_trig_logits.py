"""Planted characters are recovered, lookup tables and wrong signs rejected, and mutants caught."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors import trig_logits
from detectors.core.groups import Group
from detectors.core.registry import picture_of, spec_of
from detectors.judging.calibration import calibration
from detectors.motifs import trig_logits as module
from detectors.subjects.operands import plane
from detectors.subjects.operands.edits import cause, edit_logits
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from fixtures.strategies import planted, planted_groups
from fixtures.transforms import move_tokens, rotate_residual, with_weights
from models_zoo import logit_mixture, lookup_table, trig_mlp
from models_zoo.analytic import _TableNetwork, random_split

THRESHOLD = calibration()["rows"]["trig_logits"]["threshold"]
FEW = {"draws": 39}
pictures, clause = picture_of(trig_logits), spec_of(trig_logits).clause


def with_logits(task: Task, logits: np.ndarray, train: np.ndarray | None = None) -> ModelView:
    """A table of logits [pairs, answers]."""
    return ModelView(_TableNetwork(torch.from_numpy(logits).float(), task.n_tokens), task, train_mask=train)


def characters(spec: str, *amplitudes: tuple[int, float]) -> np.ndarray:
    """[pairs, answers] sum of the amplitude times the character of a b c^-1, of norm one, over (irrep, amplitude)."""
    g = Task.parse(spec).labels.group
    where = g.table[g.table.reshape(-1)[:, None], g.inverse[None]]  # [pair, c] -> a b c^-1
    unit = [g.irreps[i].character / np.linalg.norm(g.irreps[i].character) for i, _ in amplitudes]
    return sum(alpha * u[where] for u, (_, alpha) in zip(unit, amplitudes, strict=True))


def of_characters(spec: str, *amplitudes: tuple[int, float], train: np.ndarray | None = None) -> ModelView:
    return with_logits(Task.parse(spec), characters(spec, *amplitudes), train)


def half(spec: str) -> np.ndarray:
    return random_split(Task.parse(spec), 0.5, 0)


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
        assert score.basis == "test_pairs"
        assert score.explained_test_pairs == pytest.approx(5 / 9)


@pytest.mark.parametrize("spec", ["add:23", "compose:S4"])
def test_the_value_is_the_share_above_chance(spec):
    score = trig_logits(of_characters(spec, (2, 3.0), (3, 4.0), train=half(spec)), **FEW)
    chance = score.null.mean
    assert score.value == pytest.approx((score.explained_test_pairs - chance) / (1 - chance))
    assert 0 < chance < 0.1
    assert score.null.p_value == 1 / 40


def test_without_a_split_the_share_is_taken_times_the_gini_of_the_spectrum():
    """Of eleven equal dimensions shares of 0.36 and 0.64 have the Gini 1 - (0.36 + (2 * 0.36 + 0.64)) / 11."""
    score = trig_logits(of_characters("add:23", (2, 3.0), (5, 4.0)), **FEW)
    gini, largest, chance = 1 - (0.36 + 2 * 0.36 + 0.64) / 11, 1 - 1 / 11, score.null.mean
    assert score.value == pytest.approx((gini / largest - chance) / (1 - chance))
    assert score.null.p_value == 1 / 40


def test_a_spectrum_more_peaked_than_its_strongest_irrep_could_be_counts_as_peaked():
    """The sign has 1 of 23 dimensions, the standard irrep 9: with nearly all of the power in both the Gini is 0.73, and
    0.61 is the largest that the standard one, which is stronger, has alone.
    """
    named = {irrep.name: i for i, irrep in enumerate(Group.from_name("S4").irreps)}
    score = trig_logits(of_characters("compose:S4", (named["sign"], 0.7), (named["standard"], 0.71)), **FEW)
    assert score.value == pytest.approx(1)


def test_a_group_of_one_irrep_has_no_spectrum_to_be_peaked():
    score = trig_logits(of_characters("add:3", (1, 1.0)), **FEW)
    assert (score.value, score.explained_all_pairs, score.null.p_value) == (0, pytest.approx(1), 1)


def test_similarities_above_half_a_percent_are_listed():
    score = trig_logits(
        of_characters("add:23", (2, 1.0), (5, 0.0051), (7, 0.0049), (9, -0.1), train=half("add:23")), **FEW
    )
    assert score.irreps == ("freq_2", "freq_5")


def test_no_irrep_no_picture_and_no_cause():
    score = trig_logits(of_characters("add:11", (2, -1.0)), **FEW)
    assert (score.irreps, score.key_irreps, score.value, score.causal) == ((), (), 0, None)
    assert pictures(score) == []


def test_key_is_what_rises_above_its_cut_on_the_pairs_not_trained_on():
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
    view = with_logits(Task.parse(spec), characters(spec, (2, 6.0), (5, 0.25)) + 0.05 * noise)
    score = trig_logits(view, draws=199)
    weak = score.irreps.index("freq_5")
    assert "freq_5" not in score.key_irreps
    assert score.similarity[weak] ** 2 < score.key_cuts[weak]
    edit = edit_logits(view, view.plane.everything)
    used = [i for i in range(1, 12) if f"freq_{i}" in score.irreps]
    assert (
        score.causal.necessity == cause(view, used, edit, seed=0).necessity > cause(view, [2], edit, seed=0).necessity
    )


def test_the_null_is_drawn_on_1024_pairs_at_most():
    assert trig_logits(trig_mlp(p=37, frequencies=(3,)), **FEW).null.permuted == "labels of 1024 pairs"
    assert trig_logits(trig_mlp(p=31, frequencies=(3,)), **FEW).null.permuted == "labels of 961 pairs"
    view = trig_mlp(p=31, frequencies=(3,), train_fraction=0.5)
    assert trig_logits(view, **FEW).null.permuted == "labels of 481 pairs"


def test_the_clause_names_frequencies_and_irreps_and_counts_the_weaker():
    one = trig_logits(of_characters("add:11", (2, 1.0)), **FEW)
    assert clause(one) == "frequency 2"
    many = trig_logits(of_characters("add:29", *((k, 1 - k / 100) for k in range(1, 11)), train=half("add:29")), **FEW)
    assert clause(many) == "frequencies 1, 2, 3, 4, 5, 6, 7, 8 and 2 weaker"
    dihedral = trig_logits(of_characters("compose:D7", (1, 1.0), (2, 2.0), (3, 1.5)), **FEW)
    assert clause(dihedral) == "frequencies 1, 2 and the irrep sign"


@pytest.mark.parametrize("train", [None, half("add:23")])
def test_the_picture_says_what_the_score_says(train):
    score = trig_logits(of_characters("add:23", (2, 2.0), (5, 1.0), train=train), **FEW)
    (drawn,) = pictures(score)
    bars = drawn.data
    assert (bars.names, bars.heights, bars.key) == (score.irreps, score.similarity, score.key_irreps)
    assert np.square(bars.chance) == pytest.approx(score.key_cuts)  # cosines, as the bars
    assert (bars.unit, bars.form) == ("cosine with the logits", ".2f")
    assert ("not trained on" in drawn.reading) == (train is not None)


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
