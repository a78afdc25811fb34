"""`memorisation` on mixtures of a circuit, a lookup table and noise; its decoys and its mutants."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import detectors
from detectors import memorisation
from detectors.core import phases
from detectors.core.errors import Undetermined
from detectors.core.registry import picture_of, spec_of
from detectors.motifs import memorisation as module
from detectors.motifs.memorisation import MIN_PAIRS
from detectors.subjects.operands import relabelling
from detectors.subjects.operands.plane import LogitGrid, remainder_loss
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from fixtures.transforms import with_weights
from models_zoo import group_network, logit_mixture, lookup_table, trig_mlp
from models_zoo.analytic import _TableNetwork

FEW = {"draws": 39}


def mask_of(p: int, trained: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(p * p) < trained


def noise(p: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((p * p, p))


def with_logits(logits: np.ndarray, train: np.ndarray) -> ModelView:
    p = logits.shape[1]
    return ModelView(_TableNetwork(torch.from_numpy(logits).float(), p), Task.parse(f"add:{p}"), train_mask=train)


def looked_up(p: int, known: np.ndarray, scale: float, answers: np.ndarray | None = None) -> np.ndarray:
    """[pairs, answers] of a table of the known pairs."""
    answers = Task.parse(f"add:{p}").answer.ravel() if answers is None else answers
    logits = np.zeros((p * p, p))
    logits[np.flatnonzero(known), answers[known]] = scale
    return logits


@pytest.mark.parametrize("spec", ["add:23", "sub:24", "mul:23", "compose:S4", "compose:D11"])
def test_a_table_memorises_and_a_circuit_does_not(spec):
    table = memorisation(logit_mixture(spec, circuit=0.0, table=10.0), **FEW)
    assert table.value > 0.85
    assert table.membership_advantage > 0.99
    assert table.null.p_value == 1 / 40
    assert memorisation(logit_mixture(spec, circuit=10.0, table=0.0), **FEW).value < 0.1


@given(seed=st.integers(0, 1000))
def test_mixtures_move_along_the_plane_in_order(seed):
    assert memorisation(logit_mixture("add:13", circuit=0.5, table=6.0, noise=1.0, seed=seed), draws=1).value > 0.5
    weaker = [
        memorisation(logit_mixture("add:13", circuit=4.0, table=t, noise=1.0, seed=seed), draws=1).membership_advantage
        for t in (6.0, 2.0, 0.0)
    ]
    assert weaker == sorted(weaker, reverse=True)


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_scale_of_the_logits_does_not_matter(grokked, memorised, scale):
    for view in (grokked, memorised):
        scaled = with_weights(view, unembed__W_U=view.weight("unembed.W_U") * scale)
        assert memorisation(scaled, **FEW).value == pytest.approx(memorisation(view, **FEW).value, abs=1e-3)


@pytest.mark.parametrize("trained", [40, 120])
def test_the_advantage_is_twice_the_area_under_the_curve_less_one(trained):
    train = mask_of(13, trained)
    view = with_logits(noise(13) + looked_up(13, train, 1.0), train)
    grid = view.plane
    loss, _ = remainder_loss(grid, grid.fibre_mean(grid.among(torch.from_numpy(~train))))
    advantage = memorisation(view, **FEW).membership_advantage
    assert advantage == pytest.approx(2 * roc_auc_score(train, -loss.numpy()) - 1)
    assert 0.1 < advantage < 0.9


def test_ties_count_half_and_a_side_without_pairs_has_no_advantage():
    train = np.array([True, True, False, False])
    assert module._advantage(np.array([1.0, 2.0, 2.0, 3.0]), train) == pytest.approx(2 * 3.5 / 4 - 1)
    assert module._advantage(np.array([3.0, 3.0, 1.0, 1.0]), train) == -1
    for one_side in (np.ones(4, dtype=bool), np.zeros(4, dtype=bool)):
        assert module._advantage(np.arange(4.0), one_side) == 0


def test_the_value_is_the_difference_of_what_the_remainder_answers():
    """Of 85 training pairs 60 are looked up, and 10 of the others."""
    train = mask_of(13, 85)
    known = np.zeros(169, dtype=bool)
    known[np.flatnonzero(train)[:60]] = known[np.flatnonzero(~train)[:10]] = True
    score = memorisation(with_logits(looked_up(13, known, 5.0), train), **FEW)
    assert score.remainder_accuracy_train == pytest.approx(60 / 85)
    assert score.remainder_accuracy_test == pytest.approx(10 / 84)
    assert score.value == pytest.approx(60 / 85 - 10 / 84)
    assert score.train_fraction == pytest.approx(85 / 169)
    assert (score.train_set, score.causal) == ("given", None)
    (picture,) = picture_of(memorisation)(score)
    assert list(zip(picture.data.names, picture.data.shares, strict=True)) == [
        ("training pairs", score.remainder_accuracy_train),
        ("test pairs", score.remainder_accuracy_test),
    ]
    assert spec_of(memorisation).clause(score).endswith("still tells training pairs from others (M 0.59)")


def test_a_remainder_that_answers_the_test_pairs_alone_has_no_m():
    train = mask_of(13, 100)
    known = np.zeros(169, dtype=bool)
    known[np.flatnonzero(~train)[:30]] = True
    score = memorisation(with_logits(looked_up(13, known, 5.0), train), **FEW)
    assert score.value == 0
    assert score.remainder_accuracy_test == pytest.approx(30 / 69)
    assert score.membership_advantage < 0


def test_the_structured_part_is_fitted_on_test_pairs_alone():
    """With four training pairs in five it would take four fifths of the table away, and leave what noise outdoes."""
    train = mask_of(13, 135)
    table = memorisation(with_logits(looked_up(13, train, 10.0) + 2 * noise(13), train), **FEW)
    assert table.remainder_accuracy_train > 0.9
    silent = memorisation(with_logits(looked_up(13, train, 5.0), train), **FEW)
    assert (silent.value, silent.remainder_accuracy_train, silent.remainder_accuracy_test) == (1.0, 1.0, 0.0)
    circuit = memorisation(with_logits(looked_up(13, np.ones(169, dtype=bool), 5.0), train), **FEW)
    assert (circuit.remainder_accuracy_train, circuit.remainder_accuracy_test) == (0.0, 0.0)


def test_the_null_is_that_of_the_rank_sum_test():
    """Of noise: mean 0 and, for k training and m test pairs, variance (k + m + 1) / (3 k m)."""
    view = with_logits(noise(37), mask_of(37, 700))
    score = memorisation(view, **FEW)
    assert score.null.permuted == "the training set among 1024 pairs"
    null = module._permuted(view.plane, torch.from_numpy(view.train_mask), torch.arange(1024), 199, 0)[1]
    k = int(mask_of(37, 700)[:1024].sum())
    deviation = (1025 / (3 * k * (1024 - k))) ** 0.5
    assert float(null.std()) == pytest.approx(deviation, rel=0.15)
    assert abs(float(null.mean())) < 0.02  # S fitted on pairs leaves them a little less
    few = memorisation(with_logits(noise(13), mask_of(13, 80)), **FEW)
    assert few.null.permuted == "the training set among 169 pairs"
    assert few.null.p_value > 1 / 40


def test_what_the_null_is_compared_with_is_the_advantage_itself():
    """Of a hundred pairs and more the sample is all of them, and S the same."""
    view = logit_mixture("add:11", circuit=4.0, table=2.0, noise=1.0)
    mask = torch.from_numpy(view.train_mask)
    observed, null = module._permuted(view.plane, mask, view.plane.everything, 19, 0)
    assert observed == pytest.approx(memorisation(view, **FEW).membership_advantage)
    assert len(null) == 19
    assert float(null.max()) < observed


def test_a_sample_of_one_side_has_a_null_without_power():
    view = with_logits(noise(13), mask_of(13, 80))
    for trained in (torch.ones(169, dtype=torch.bool), torch.zeros(169, dtype=torch.bool)):
        observed, null = module._permuted(view.plane, trained, torch.arange(169), 5, 0)
        assert (observed, null.tolist()) == (0, [0] * 5)


@pytest.mark.parametrize(("trained", "enough"), [(31, False), (32, True), (89, True), (90, False)])
def test_at_least_32_pairs_are_needed_on_either_side(trained, enough):
    view = with_logits(noise(11), mask_of(11, trained))
    if enough:
        assert memorisation(view, **FEW).train_fraction == pytest.approx(trained / 121)
    else:
        with pytest.raises(
            Undetermined, match=f"{trained} of 121 labelled pairs are training pairs; both sides need 32"
        ):
            memorisation(view, **FEW)


def test_an_accuracy_over_that_many_pairs_is_exact_enough_for_m_and_the_sample_for_a_trace():
    assert 0.5 / MIN_PAIRS**0.5 < phases.TRACE < 0.5 / (MIN_PAIRS // 2) ** 0.5
    half = relabelling.NULL_PAIRS / 2
    assert 3 * ((2 * half + 1) / (3 * half * half)) ** 0.5 < 0.12 < 3 * ((half + 1) / (3 * (half / 2) ** 2)) ** 0.5


@pytest.mark.parametrize(
    ("circuit", "table", "phase"),
    [(0.0, 0.0, "initial"), (0.0, 9.0, "memorisation"), (3.0, 9.0, "circuit formation"), (9.0, 0.0, "generalisation")],
)
def test_phases(circuit, table, phase):
    assert memorisation(logit_mixture("add:23", circuit=circuit, table=table, noise=1.0), **FEW).phase == phase


def test_in_cleanup_the_trace_is_left_and_answers_nothing():
    """The training pairs' answers are a little louder, which the p-value sees and the value does not."""
    score = memorisation(logit_mixture("add:23", circuit=9.0, table=0.7, noise=1.0), **FEW)
    assert score.phase == "cleanup"
    assert score.null.p_value == 1 / 40
    assert score.value < 0.1 < 0.25 < score.membership_advantage


def test_a_table_that_is_silent_on_other_pairs_is_a_memoriser_all_the_same():
    """Equal logits on every test pair: a tie is not an answer, whichever element is numbered 0."""
    score = memorisation(lookup_table("add:13", train_fraction=0.5, noise=0.0), **FEW)
    assert (score.value, score.remainder_accuracy_train, score.remainder_accuracy_test) == (1.0, 1.0, 0.0)


def test_a_lookup_up_to_order_stays_in_the_remainder_and_answers_flips_too():
    p, train = 13, mask_of(13, 130)
    echoed = train | train.reshape(p, p).T.reshape(-1)
    score = memorisation(with_logits(looked_up(p, echoed, 10.0), train), **FEW)
    assert score.remainder_accuracy_train == 1
    assert score.remainder_accuracy_test == pytest.approx((echoed & ~train).sum() / (~train).sum())
    assert score.value == pytest.approx(1 - score.remainder_accuracy_test)


def test_a_lookup_of_random_labels_answers_few_pairs():
    train = mask_of(13, 85)
    labels = np.random.default_rng(1).integers(0, 13, 169)
    score = memorisation(with_logits(looked_up(13, train, 10.0, labels) + 0.1 * noise(13), train), **FEW)
    assert score.remainder_accuracy_train == pytest.approx(
        (labels == Task.parse("add:13").answer.ravel())[train].mean()
    )
    assert score.value < 0.1


def test_unknown_or_useless_training_sets_settle_nothing():
    view = trig_mlp(p=11, frequencies=(3,))
    with pytest.raises(Undetermined, match="train-indices"):
        memorisation(view)
    with pytest.raises(Undetermined, match="both sides"):
        memorisation(view.with_train_mask(np.ones(121, dtype=bool)))


def test_decoys(memorised, grokked):
    assert detectors.run(memorised, names=["memorisation"])[0].verdict == "present"
    assert detectors.run(grokked, names=["memorisation"])[0].verdict == "absent"
    assert memorisation(memorised, **FEW).phase == "memorisation"
    assert memorisation(grokked, **FEW).phase in ("cleanup", "generalisation")
    assert memorisation(detectors.load("zoo:add53_untrained"), **FEW).phase == "initial"
    perfect = group_network(detectors.Group.from_name("S4"), [3], train_fraction=0.5)
    assert memorisation(perfect, **FEW).value < 0.1


MUTANTS = {
    "f fitted on all pairs": (LogitGrid, "among", lambda self, mask: torch.arange(self.n**2)),
    "train and test exchanged": (module, "_advantage", lambda loss, train: -1.0),
    "remainder is the whole": (module, "remainder_loss", lambda grid, f: remainder_loss(grid, torch.zeros_like(f))),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_caught(mutant, monkeypatch):
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises(AssertionError):
        test_a_table_memorises_and_a_circuit_does_not("add:23")
        test_the_structured_part_is_fitted_on_test_pairs_alone()
