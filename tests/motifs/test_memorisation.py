"""`memorisation` on lookups of every kind, circuits that are louder on what they were trained on, and both at once."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import detectors
from detectors import generalisation, memorisation
from detectors.core.errors import Undetermined
from detectors.core.registry import picture_of, spec_of
from detectors.motifs import memorisation as module
from detectors.subjects.operands import lookup
from detectors.subjects.operands.plane import LogitGrid, remainder_loss
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from fixtures.transforms import with_weights
from models_zoo import group_network, logit_mixture, lookup_table, trig_mlp
from models_zoo.hostile.circuits import cosines, louder, with_lookup
from models_zoo.hostile.constructions import noise, of_table, one_hot, plus, unseen_split, up_to_order

FEW = {"draws": 39}
NOBODY = "sub:13"  # no symmetric table: whatever was not trained on is unseen


def mask_of(pairs: int, trained: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(pairs) < trained


def looked_up(spec: str, known: np.ndarray, train: np.ndarray, noisy: float = 0.0) -> ModelView:
    """A table of the known pairs, as tall as 5."""
    task = Task.parse(spec)
    return of_table(task, 5 * one_hot(task, known) + noise(task, noisy, 0), train)


@pytest.mark.parametrize("spec", ["add:23", "sub:24", "mul:23", "compose:S4", "compose:D11"])
def test_a_lookup_memorises_and_a_circuit_does_not(spec):
    exact = memorisation(lookup_table(spec, train_fraction=0.5, noise=0.0), **FEW)
    assert (exact.value, exact.share_train, exact.share_unseen, exact.gain) == (1, 1, 0, 0)
    assert exact.membership_advantage == 1
    assert exact.null.p_value == 1 / 40
    assert memorisation(lookup_table(spec, train_fraction=0.5), **FEW).value > 0.9  # noise of 1% elsewhere
    assert memorisation(logit_mixture(spec, circuit=10.0, table=0.0), **FEW).value < 0.03


@pytest.mark.parametrize("fraction", [0.4, 0.7])
def test_a_lookup_up_to_order_memorises_and_nothing_of_it_generalises(fraction):
    """It answers all flips of its training pairs, which are therefore on neither side."""
    view = lookup_table("add:31", train_fraction=fraction, noise=0.0)
    known = up_to_order(view.train_mask)
    view = looked_up("add:31", known, view.train_mask)
    assert memorisation(view, **FEW).value == 1
    assert generalisation(view, **FEW).value == 0


@pytest.mark.parametrize("tall", [1e-6, 1e-3, 0.1, 1.0])
def test_m_is_the_share_of_the_margin_that_the_lookup_of_a_circuit_holds(tall):
    """L = f + tall * (onehot - 1/n) on training pairs, f the mean of three cosines: <r, f> = tall, <f, f> = n / 6."""
    view = with_lookup(cosines(), tall)
    turns = 2 * np.pi * np.arange(31) / 31
    f = np.mean([np.cos(k * turns) for k in (2, 5, 11)], axis=0)
    gain, lead = tall / (31 / 6), 1 - f[1:].max()
    score = memorisation(view, **FEW)
    assert score.gain == pytest.approx(gain, abs=1e-6)
    assert score.value == pytest.approx((tall - gain * lead) / (lead + tall), abs=3e-6)
    assert score.share_unseen == pytest.approx(0, abs=1e-6)
    assert (score.value < 1e-4) == (tall == 1e-6)  # all of the remainder, which alone answers every training pair


@pytest.mark.parametrize("gain", [0.1, 2.0])
def test_louder_is_not_memorised(gain):
    score = memorisation(louder(cosines(), gain), **FEW)
    assert score.value == pytest.approx(0, abs=1e-6)
    assert score.gain == pytest.approx(gain, abs=1e-6)
    assert score.remark == f"louder on its training pairs, by {gain:.0%}"
    assert memorisation(louder(cosines(), 0.02), **FEW).remark == ""


def test_a_memoriser_that_has_learnt_what_is_not_the_answer_has_no_gain():
    """Elsewhere the right answer has the lowest logit: a negative gain would make the lookup out of that."""
    task, train = Task.parse(NOBODY), mask_of(169, 85)
    view = of_table(task, 5 * one_hot(task, train) - one_hot(task, ~train), train)
    score = memorisation(view, **FEW)
    assert (score.value, score.gain) == (1, 0)


def test_a_lookup_in_the_place_of_a_circuit_memorises():
    """On training pairs there is a one-hot as high as the circuit's margin in its place, which S would give too."""
    view = cosines()
    mask = view.train_mask
    logits, margin = view.logits().clone(), float(view.plane.each.margin.median())
    logits[mask] = margin * one_hot(view.task, mask)[mask]
    score = memorisation(of_table(view.task, logits, mask), **FEW)
    assert score.value > 0.75
    assert score.gain < -0.5


def test_a_lookup_beside_what_answers_no_pair_right_memorises():
    """Circuits of a + b and, a little louder, of a + b + 1: the lookup alone answers, by a margin that they share."""
    view = cosines()
    off = view.logits().reshape(31, 31, 31).roll(1, dims=2).reshape(-1, 31)
    score = memorisation(plus(view, 1.04 * off + 0.5 * one_hot(view.task, view.train_mask)), **FEW)
    assert score.value == 1


@pytest.mark.parametrize("loud", [2.0, 5.0])
def test_where_a_lookup_takes_away_what_outweighs_a_circuit_its_absence_is_not_settled(loud):
    """On training pairs the circuit alone is left, with its own margin; elsewhere one of a - b is as loud or louder."""
    view = cosines()
    other = loud * view.logits().reshape(31, 31, 31)[:, -torch.arange(31) % 31].reshape(-1, 31)
    hurt = plus(view, other * ~torch.from_numpy(view.train_mask)[:, None])
    score = memorisation(hurt, **FEW)
    assert score.value < 0.3
    assert score.right_apart > 0.9
    assert "more of its training pairs are right" in score.unsettled
    assert detectors.run(hurt, names=["memorisation"], draws=39)[0].verdict == "inconclusive"


@pytest.mark.parametrize("gain", [0.0, 0.2, 2.0])
def test_right_apart_is_nothing_of_a_circuit_that_is_louder_where_trained(gain):
    """In noise, some unseen pairs are wrong that would be right were it as loud."""
    view = louder(cosines(), gain)
    noisy = plus(view, noise(view.task, 0.1, 0))
    assert abs(memorisation(noisy, **FEW).right_apart) < 0.05
    assert memorisation(noisy, **FEW).unsettled == ""


@pytest.mark.parametrize("seed", range(5))
def test_a_circuit_with_33_unseen_pairs_is_not_memorised(seed):
    clean = cosines()
    split = ModelView(clean.network, clean.task, train_mask=unseen_split(31, 33, seed))
    score = memorisation(plus(split, noise(clean.task, 0.02, seed)), **FEW)
    assert score.value < 0.05
    low, high = score.interval
    assert low <= 0 <= high


def test_the_interval_is_of_two_means():
    """Shares on training pairs 1 and 0, on unseen pairs 0: the error is that of a share of 60 among 85."""
    train = mask_of(169, 85)
    known = np.zeros(169, dtype=bool)
    known[np.flatnonzero(train)[:60]] = True
    score = memorisation(looked_up(NOBODY, known, train), **FEW)
    share = 60 / 85
    assert score.value == score.share_train == score.remainder_accuracy_train == pytest.approx(share)
    reach = 1.96 * (share * (1 - share) / 85) ** 0.5
    assert score.interval == pytest.approx((share - reach, share + reach))
    assert (score.remainder_accuracy_test, score.train_fraction) == (0, pytest.approx(85 / 169))
    assert (score.train_set, score.causal) == ("given", None)
    assert f"{share:.0%} is looked up (M {share:.2f})" in spec_of(memorisation).clause(score)
    (picture,) = picture_of(memorisation)(score)
    assert dict(zip(picture.data.names, picture.data.shares, strict=True)) == {
        "training pairs": score.share_train,
        "unseen pairs": score.share_unseen,
    }


def test_twins_among_unseen_pairs_count_once():
    train, known = unseen_split(13, 64, 0), np.zeros(169, dtype=bool)
    known[np.flatnonzero(~train)[::2]] = True  # some unseen pairs are answered, so that their shares have a spread
    view = looked_up("add:13", known, train, noisy=0.01)
    found = [lookup.lookup_of(view.plane, torch.from_numpy(train), torch.from_numpy(~train))]
    view.plane.is_symmetric = False
    found.append(lookup.lookup_of(view.plane, torch.from_numpy(train), torch.from_numpy(~train)))
    assert found[0].m == found[1].m < 0
    assert found[0].deviation > 1.2 * found[1].deviation


def test_a_remainder_that_answers_unseen_pairs_alone_has_no_m():
    train = mask_of(169, 100)
    known = np.zeros(169, dtype=bool)
    known[np.flatnonzero(~train)[:30]] = True
    score = memorisation(looked_up(NOBODY, known, train), **FEW)
    assert (score.value, score.share_train, score.gain) == (0, 0, 0)
    q = 30 / 69  # of the unseen pairs are known, so that S gives each of them a lead of q of its own
    assert score.share_unseen == pytest.approx(q * (1 - q))
    assert score.interval[1] < 0
    assert score.membership_advantage < 0


def test_echoes_are_on_neither_side():
    """Whatever is said on the flips of training pairs changes neither M nor the trace."""
    view = lookup_table("add:23", train_fraction=0.5, noise=0.0)
    echoed = up_to_order(view.train_mask) & ~view.train_mask
    said = [memorisation(plus(view, 9 * one_hot(view.task, k)), **FEW) for k in (echoed, np.zeros(529, dtype=bool))]
    assert said[0].value == said[1].value == 1
    assert said[0].membership_advantage == said[1].membership_advantage
    assert said[0].remainder_accuracy_test == 0


def test_a_lookup_of_random_labels_answers_few_pairs():
    train, right = mask_of(169, 85), Task.parse(NOBODY).answer.ravel()
    labels = np.random.default_rng(1).integers(0, 13, 169)
    table = torch.nn.functional.one_hot(torch.from_numpy(labels), 13).float() * torch.from_numpy(train)[:, None]
    score = memorisation(of_table(Task.parse(NOBODY), 10 * table, train), **FEW)
    assert score.remainder_accuracy_train == pytest.approx((labels == right)[train].mean())
    assert score.value == pytest.approx(score.remainder_accuracy_train)


@given(seed=st.integers(0, 1000))
def test_a_larger_lookup_beside_a_circuit_is_more_memory(seed):
    view = cosines(p=17, frequencies=(2, 3), seed=seed)
    found = [memorisation(with_lookup(plus(view, noise(view.task, 0.05, seed)), t), draws=1) for t in (3.0, 0.5, 0.0)]
    for figures in ([s.value for s in found], [s.membership_advantage for s in found]):
        assert figures == sorted(figures, reverse=True)
    assert found[0].value > 0.4


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_scale_of_the_logits_does_not_matter(grokked, memorised, scale):
    for view in (grokked, memorised):
        scaled = with_weights(view, unembed__W_U=view.weight("unembed.W_U") * scale)
        assert memorisation(scaled, **FEW).value == pytest.approx(memorisation(view, **FEW).value, abs=1e-3)


@pytest.mark.parametrize("trained", [40, 120])
def test_the_advantage_is_twice_the_area_under_the_curve_less_one(trained):
    train, task = mask_of(169, trained), Task.parse(NOBODY)
    view = of_table(task, noise(task, 1.0, 0) + one_hot(task, train), train)
    grid = view.plane
    loss, _ = remainder_loss(grid, grid.fibre_mean(grid.among(torch.from_numpy(~train))))
    advantage = memorisation(view, **FEW).membership_advantage
    assert advantage == pytest.approx(2 * roc_auc_score(train[grid.pairs], -loss.numpy()) - 1)
    assert 0.1 < advantage < 0.9
    assert module._advantage(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == pytest.approx(2 * 3.5 / 4 - 1)  # ties half


@pytest.mark.wide
@pytest.mark.parametrize("spec", ["add:13", "sub:13"])
def test_of_noise_one_p_value_in_ten_is_under_a_tenth(spec):
    """Also where unseen pairs come as twins: their echoes are drawn anew with the training set."""
    task = Task.parse(spec)
    half = np.random.default_rng(9).standard_normal((169, 13))
    flips = np.arange(169).reshape(13, 13).T.ravel()
    p_values = []
    for seed in range(60):
        table = noise(task, 1.0, seed) + torch.from_numpy(half).float()
        table = (table + table[flips]) / 2 if task.is_symmetric else table
        p_values.append(memorisation(of_table(task, table, mask_of(169, 60, seed)), draws=19).null.p_value)
    assert np.mean(np.array(p_values) <= 0.1) < 0.23  # beyond which 60 draws of a tenth lie once in a thousand
    assert 0.35 < np.mean(p_values) < 0.7


def test_a_null_of_a_large_group_is_drawn_on_a_part_of_its_pairs(monkeypatch):
    view = with_lookup(cosines(p=29), 0.3)
    whole = memorisation(view, **FEW)
    assert whole.null.permuted == "the training set among 841 pairs"
    monkeypatch.setattr(lookup, "NULL_PAIRS", 400)
    part = memorisation(view, **FEW)
    assert part.null.permuted == "the training set among 400 pairs"
    assert part.value == whole.value
    assert part.null.mean == pytest.approx(whole.null.mean, abs=0.05)


@pytest.mark.parametrize(("trained", "enough"), [(31, False), (32, True), (137, True), (138, False)])
def test_at_least_32_pairs_are_needed_on_either_side(trained, enough):
    view = looked_up(NOBODY, mask_of(169, trained), mask_of(169, trained))
    few = "31 of 169 labelled pairs are training pairs" if trained == 31 else "31 labelled pairs are unseen"
    if enough:
        assert memorisation(view, **FEW).value == 1
    else:
        with pytest.raises(Undetermined, match=few):
            memorisation(view, **FEW)


@pytest.mark.parametrize(
    ("circuit", "tall", "phase"),
    [
        (0, 0, "initial"),
        (0, 9, "memorisation"),
        (3, 9, "circuit formation"),
        (9, 0.4, "cleanup"),
        (9, 0, "generalisation"),
    ],
)
def test_phases(circuit, tall, phase):
    """In cleanup the training pairs' answers are a little louder, which the trace sees and the value does not."""
    base = cosines()
    task, train = base.task, base.train_mask
    table = circuit * base.logits() + tall * one_hot(task, train) + noise(task, 0.5, 0)
    score = memorisation(of_table(task, table, train), **FEW)
    assert score.phase == phase
    if phase == "cleanup":
        assert score.null.p_value == 1 / 40
        assert score.value < 0.1 < 0.25 < score.membership_advantage


def test_decoys(memorised, grokked):
    assert detectors.run(memorised, names=["memorisation"])[0].verdict == "present"
    assert detectors.run(grokked, names=["memorisation"])[0].verdict == "absent"
    assert memorisation(memorised, **FEW).phase == "memorisation"
    assert memorisation(grokked, **FEW).phase in ("cleanup", "generalisation")
    assert memorisation(detectors.load("zoo:add53_untrained"), **FEW).phase == "initial"
    perfect = group_network(detectors.Group.from_name("S4"), [3], train_fraction=0.5)
    assert memorisation(perfect, **FEW).value < 1e-5
    with pytest.raises(Undetermined, match="all pairs are given as training pairs"):
        memorisation(trig_mlp(p=11, frequencies=(3,)).with_train_mask(np.ones(121, dtype=bool)))


fibre_mean, shares = LogitGrid.fibre_mean, lookup.lookup_shares
MUTANTS = {
    "f fitted on all pairs": (LogitGrid, "fibre_mean", lambda self, k: fibre_mean(self, self.everything)),
    "gain left in": (lookup, "gain_of", lambda f, trained: 0.0),
    "no fainter": (lookup, "gain_of", lambda f, trained: max(0.0, float((trained - f) @ f / (f @ f).clamp_min(1e-9)))),
    "answers left out": (module, "right_apart", lambda *_: 0.0),
    "any part": (lookup, "right", lambda f, identity: f),
    "not clipped": (lookup, "lookup_shares", lambda grid, f, *rest: 2 * shares(grid, f, *rest)),
    "echoes left on the test side": (detectors.subjects.operands.split.Split, "unseen", property(lambda s: ~s.train)),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_caught(mutant, monkeypatch):
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises((AssertionError, Undetermined)):
        test_a_lookup_memorises_and_a_circuit_does_not("add:23")
        test_louder_is_not_memorised(0.1)
        test_a_memoriser_that_has_learnt_what_is_not_the_answer_has_no_gain()
        test_a_lookup_in_the_place_of_a_circuit_memorises()
        test_a_lookup_beside_what_answers_no_pair_right_memorises()
        test_where_a_lookup_takes_away_what_outweighs_a_circuit_its_absence_is_not_settled(5.0)
        test_a_lookup_up_to_order_memorises_and_nothing_of_it_generalises(0.4)
