"""`generalisation` on mixtures of a circuit, a lookup table and noise; its decoys and its mutants."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors import generalisation
from detectors.core.errors import Undetermined
from detectors.subjects.operands import plane
from detectors.subjects.operands import structured as parts
from detectors.subjects.operands.plane import LogitGrid
from detectors.subjects.operands.split import MIN_UNSEEN
from detectors.subjects.operands.structured import g_of
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from fixtures.transforms import with_weights
from models_zoo import logit_mixture, lookup_table, trig_mlp
from models_zoo.analytic import _TableNetwork
from models_zoo.hostile.constructions import noise, of_table, one_hot, plus, split_of, unseen_split, up_to_order

FEW = {"draws": 39}


def mask_of(p: int, trained: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(p * p) < trained


def noisy_circuit(p: int, share: float, seed: int = 0, op: str = "add") -> np.ndarray:
    """[pairs, answers] white noise, and a circuit [c = a + b] of this share of the squares of the centred logits."""
    logits = np.random.default_rng(seed).standard_normal((p * p, p))
    logits[np.arange(p * p), Task.parse(f"{op}:{p}").answer.ravel()] += (share / (1 - share) * p) ** 0.5
    return logits


def with_logits(logits: np.ndarray, train: np.ndarray, op: str = "add") -> ModelView:
    p = logits.shape[1]
    return ModelView(_TableNetwork(torch.from_numpy(logits).float(), p), Task.parse(f"{op}:{p}"), train_mask=train)


@pytest.mark.parametrize("spec", ["add:23", "sub:24", "mul:23", "compose:S4", "compose:D11"])
def test_a_table_is_chance_and_a_circuit_is_certain(spec):
    table = logit_mixture(spec, circuit=0.0, table=10.0)
    circuit = logit_mixture(spec, circuit=10.0, table=0.0)
    assert generalisation(table, **FEW).value < 0.1
    assert generalisation(circuit, **FEW).value > 0.99


def structured(f: np.ndarray) -> ModelView:
    """Logits f(a + b - c) and nothing else."""
    p = len(f)
    a, b, c = np.ogrid[:p, :p, :p]
    return with_logits(f[(a + b - c) % p].reshape(p * p, p), mask_of(p, 30))


def test_a_circuit_without_noise_is_certain():
    """Logits 3 [a + b = c], whose cross-entropy at temperature T is ln(1 + 10 exp(-3 / T))."""
    score = generalisation(structured(3.0 * (np.arange(11) == 0)), **FEW)
    assert score.test_loss == pytest.approx(math.log1p(10 * math.exp(-3 / score.temperature)), abs=1e-12)
    assert score.structured_share == pytest.approx(1)
    assert (score.value, score.structured_accuracy) == (pytest.approx(1), 1.0)
    assert (score.chance_loss, score.exceptions) == (pytest.approx(math.log(11)), 0)


def test_no_temperature_is_under_a_hundredth_of_the_deviation_of_the_logits():
    """The answer leads by a tenth, so that half of it would be better still."""
    f = np.array([1.0, 0.9, *[0] * 9])
    score = generalisation(structured(f), **FEW)
    assert score.temperature == pytest.approx(f.std() / 100)
    assert score.test_loss == pytest.approx(math.log1p(math.exp(-0.1 / score.temperature)), rel=1e-4)


@pytest.mark.parametrize(("share", "scaled"), [(0.1, False), (0.012, True)])
def test_the_value_is_scaled_down_where_the_structured_part_is_under_two_percent(share, scaled):
    score = generalisation(with_logits(noisy_circuit(53, share, op="sub"), mask_of(53, 800), "sub"), **FEW)
    assert score.structured_share == pytest.approx(share, abs=0.003)
    g = 1 - score.test_loss / math.log(53)
    assert g > 0.9
    assert score.value == pytest.approx(g * min(1, score.structured_share / 0.02))
    assert (score.value < 0.8) == scaled


@given(seed=st.integers(0, 1000))
def test_mixtures_move_along_the_plane_in_order(seed):
    mixtures = [logit_mixture("sub:13", circuit=c, table=6.0, noise=1.0, seed=seed) for c in (0.0, 1.5, 4.0)]
    g = [generalisation(m, draws=1).value for m in mixtures]
    assert g[0] < 0.7  # chance: 13 answers, few of them far ahead in the noise
    assert g[0] < g[1] <= g[2] + 1e-6


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_scale_of_the_logits_does_not_matter(grokked, memorised, scale):
    for view in (grokked, memorised):
        scaled = with_weights(view, unembed__W_U=view.weight("unembed.W_U") * scale)
        before, after = generalisation(view, **FEW), generalisation(scaled, **FEW)
        assert after.value == pytest.approx(before.value, abs=1e-4)
        assert after.temperature == pytest.approx(scale * before.temperature, rel=0.01)


def test_the_structured_part_never_sees_the_training_pairs_nor_their_echoes():
    """Whatever is looked up of those, G and all that it rests on are the same."""
    view = logit_mixture("add:23", circuit=1.0, table=0.0, noise=1.0)
    known = np.zeros(529, dtype=bool), view.train_mask, up_to_order(view.train_mask)
    scores = [generalisation(plus(view, 50 * one_hot(view.task, some)), **FEW) for some in known]
    for name in ("value", "null", "temperature", "test_loss", "structured_share", "structured_accuracy", "pairs"):
        assert getattr(scores[0], name) == getattr(scores[1], name) == getattr(scores[2], name)


def test_a_lookup_up_to_order_holds_nothing():
    """It answers the flips of its training pairs, which are a part of what it was not trained on."""
    view = lookup_table("add:31", train_fraction=0.7, noise=0.0)
    known = up_to_order(view.train_mask)
    score = generalisation(of_table(view.task, 10 * one_hot(view.task, known), view.train_mask), **FEW)
    assert (score.value, score.structured_accuracy) == (0, 0)
    assert score.structured_share == pytest.approx(-1 / (score.pairs - 1))  # nothing, less than noise would hold
    assert score.pairs == int((~known).sum())
    report = detectors.run(of_table(view.task, 10 * one_hot(view.task, known), view.train_mask))
    assert report["generalisation"].verdict == "absent"
    assert "memorised" in report.summary


@pytest.mark.parametrize(("spec", "pairs"), [("add:37", None), ("sub:37", 1369 - 136)])
def test_unseen_pairs_are_counted(spec, pairs):
    task = Task.parse(spec)
    train = split_of(task, 0.1, 0)
    view = of_table(task, one_hot(task) + noise(task, 0.01, 0), train)
    score = generalisation(view, **FEW)
    assert score.pairs == (int((~up_to_order(train)).sum()) if pairs is None else pairs)
    assert (score.basis, score.train_set, score.causal) == ("unseen_pairs", "given", None)
    assert score.train_fraction == pytest.approx(136 / 1369)
    assert score.null.permuted == "labels of 1024 unseen pairs"
    assert (score.null.draws, score.null.p_value) == (39, 1 / 40)
    assert score.null.mean < 0.1  # of renamed answers
    assert score.remark == ""


def test_the_null_names_its_pairs():
    few = generalisation(trig_mlp(p=11, frequencies=(3,), train_fraction=0.4), **FEW)
    assert few.null.permuted == f"labels of {few.pairs} unseen pairs"
    assert 32 <= few.pairs < 73  # of 73 not trained on


def test_the_structured_part_of_noise_is_right_by_luck_alone():
    """Its largest value is at the identity in 1 of p models."""
    views = [with_logits(noisy_circuit(5, 0.0, seed), mask_of(5, 0)).plane for seed in range(60)]
    right = [float(v.fibre_mean(v.everything).argmax() == 0) for v in views]
    views = [with_logits(noisy_circuit(7, 0.0, s), mask_of(7, 10, s), "sub") for s in range(60)]
    scores = [generalisation(view, draws=1) for view in views]
    assert {score.structured_accuracy for score in scores} == {0.0, 1.0}
    for found in (right, [score.structured_accuracy for score in scores]):
        assert np.mean(found) < 0.4


@pytest.mark.parametrize("left", [31, 32])
@pytest.mark.parametrize("op", ["add", "sub"])
def test_at_least_32_unseen_pairs_are_needed(op, left):
    train = unseen_split(11, left, 0) if op == "add" else mask_of(11, 121 - left)
    view = with_logits(noisy_circuit(11, 0.5, op=op), train, op)
    if left < 32:
        with pytest.raises(Undetermined, match="31 labelled pairs are unseen"):
            generalisation(view, **FEW)
    else:
        score = generalisation(view, **FEW)
        assert score.value > 0.5
        assert score.pairs == 32


@pytest.mark.wide
def test_that_many_pairs_show_a_circuit_that_counts_in_full_and_half_as_many_do_not():
    """Of a - b mod 53 a circuit of 2% of the logits, above which G is not scaled down."""

    def mean_g(pairs: int) -> float:
        views = [with_logits(noisy_circuit(53, 0.02, seed, "sub"), mask_of(53, 0), "sub") for seed in range(20)]
        rng = np.random.default_rng(0)
        drawn = [torch.from_numpy(rng.choice(53 * 53, pairs, replace=False)) for _ in views]
        return float(np.mean([g_of(view.plane, k, 0).g for view, k in zip(views, drawn, strict=True)]))

    assert mean_g(MIN_UNSEEN) > 0.75 > 0.65 > mean_g(MIN_UNSEEN // 2)
    assert MIN_UNSEEN >= 2 * plane.BLOCKS  # so that every fold has pairs


def test_the_temperature_is_the_best_one():
    rng = np.random.default_rng(0)
    folds = torch.from_numpy(rng.standard_normal((2, 7)) + np.array([[2.0], [0.5]]) * np.eye(7)[3])
    found = float(parts.best_temperature(folds, 3, 1e6))
    grid = np.exp(np.linspace(np.log(found) - 3, np.log(found) + 3, 2001))
    assert folds[1].argmax() != 3  # so that the best temperature is finite
    losses = [float((torch.logsumexp(folds / t, 1) - folds[:, 3] / t).sum()) for t in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=0.01)


def test_an_unknown_training_set_settles_nothing_where_not_all_pairs_do():
    with pytest.raises(Undetermined, match="train-indices"):
        generalisation(logit_mixture("add:13", circuit=1.0, table=0.0, noise=1.0).with_train_mask(None))
    with pytest.raises(Undetermined, match="train-indices"):  # a lookup of all: right everywhere, its spectrum flat
        generalisation(lookup_table("add:29", train_fraction=1.0).with_train_mask(None))


def test_a_table_that_is_silent_on_other_pairs_holds_nothing():
    """Equal logits on every unseen pair: a tie is not an answer, whichever element is numbered 0."""
    score = generalisation(lookup_table("add:13", train_fraction=0.5, noise=0.0), **FEW)
    assert (score.value, score.structured_accuracy, score.null.p_value) == (0.0, 0.0, 1.0)


def test_a_memoriser_with_a_drowned_circuit_scores_high():
    """It says what the model holds: alone the circuit answers every pair, and the model few of them."""
    task = Task.parse("sub:29")
    train, base = split_of(task, 0.5, 0), noise(task, 1.0, 0)
    view = of_table(task, base + 2 * one_hot(task) + 0.5 * noise(task, 1.0, 1), train)
    assert generalisation(view, **FEW).value > 0.9
    assert view.figures().accuracy.unseen < 0.75


def test_with_an_inferred_training_set_g_is_a_lower_bound():
    """Some unseen pairs are answered as well as training pairs: the inferred set takes them from the unseen ones."""
    p, train = 23, mask_of(23, 250)
    logits = 2.0 * np.random.default_rng(1).standard_normal((p * p, p))
    logits[np.arange(p * p), Task.parse(f"sub:{p}").answer.ravel()] += 1  # the circuit, of all pairs
    answered = train | (np.random.default_rng(2).random(p * p) < 0.1)
    logits[np.flatnonzero(answered), Task.parse(f"sub:{p}").answer.ravel()[answered]] += 25
    given_ = with_logits(logits, train, "sub")
    scores = [generalisation(view, **FEW) for view in (given_, given_.with_train_mask(None))]
    assert [score.train_set for score in scores] == ["given", "inferred"]
    assert scores[1].train_fraction > scores[0].train_fraction
    assert scores[1].value < scores[0].value


def test_a_lookup_that_knows_some_unseen_pairs_has_no_part_that_all_of_them_have():
    """Their mean answers every pair, as sure as a temperature makes it."""
    task, train = Task.parse("sub:31"), mask_of(31, 480)
    for known in (0.1, 0.2):
        leaked = train | (np.random.default_rng(2).random(31 * 31) < known)
        score = generalisation(of_table(task, 10 * one_hot(task, leaked) + noise(task, 0.1, 0), train), **FEW)
        assert score.structured_accuracy == 1
        assert score.test_loss < 0.1 * score.chance_loss
        assert score.value < 0.1 > score.carried
        assert "were some of them trained on?" in score.remark


@pytest.mark.parametrize("rows", [11, 13])
def test_a_circuit_that_some_rows_have_is_one(rows):
    """The median pair has none of it, as of a lookup's; of its spectrum no lookup has any."""
    view = trig_mlp(p=31, frequencies=(2, 5, 11), train_fraction=0.5)
    some = torch.from_numpy(np.arange(31 * 31) // 31 < rows)
    table = view.logits() / view.logits().abs().max() * some[:, None] + noise(view.task, 0.02, 0)
    score = generalisation(of_table(view.task, table, view.train_mask), **FEW)
    assert score.value > 0.9
    assert score.carried < 0.1
    assert score.remark == ""


def test_a_lookup_whose_rows_are_waves_is_still_one():
    """It knows a twentieth of its unseen pairs, with cos w(a + b - c) for an answer."""
    view = trig_mlp(p=31, frequencies=(2, 5, 11), train_fraction=0.5)
    known = view.train_mask | (np.random.default_rng(1).random(31 * 31) < 0.05)
    table = 10 * view.logits() / view.logits().abs().max() * torch.from_numpy(known)[:, None]
    score = generalisation(of_table(view.task, table + noise(view.task, 0.1, 0), view.train_mask), **FEW)
    assert score.structured_accuracy == 1
    assert score.value < 0.1


@pytest.mark.parametrize("height", [0.0, 2.0])
def test_a_circuit_of_a_quotient_answers_nothing(height):
    """The answers mod 7 are level mod 35, under a lookup too."""
    view = trig_mlp(p=35, frequencies=(5, 10, 15), train_fraction=0.5)
    table = view.logits() / view.logits().abs().max() + height * one_hot(view.task, view.train_mask)
    score = generalisation(of_table(view.task, table, view.train_mask), **FEW)
    assert score.test_loss < 0.5 * score.chance_loss
    assert (score.value, score.structured_accuracy) == (0.0, 0.0)
    assert "another answer stands above the right one or level with it" in score.remark


@pytest.mark.parametrize(("higher", "answers"), [(1.05, False), (1.0, True), (0.95, True)])
def test_another_answer_that_always_leads_is_the_answer_and_luck_is_not(higher, answers):
    task, train = Task.parse("add:31"), split_of(Task.parse("add:31"), 0.5, 0)
    table = 10 * (one_hot(task) + higher * one_hot(task).roll(5, 1)) + noise(task, 0.1, 0)
    score = generalisation(of_table(task, table, train), **FEW)
    assert score.test_loss < 0.5 * score.chance_loss
    assert (score.value > 0.5) == answers


@pytest.mark.parametrize("bias", [-3, -10, -1e3, -1e6])
def test_an_answer_that_a_bias_keeps_back_hides_no_circuit(bias):
    view = trig_mlp(p=31, frequencies=(2, 5, 11), train_fraction=0.5)
    table = view.logits() / view.logits().abs().max()
    free, held = (of_table(view.task, table + by * torch.eye(31)[7], view.train_mask) for by in (0.0, bias))
    assert generalisation(held, **FEW).value > 0.95 * generalisation(free, **FEW).value > 0.9
    assert detectors.trig_logits(held, **FEW).value > 0.9 * detectors.trig_logits(free, **FEW).value > 0.5
    assert free.plane.offsets is None
    if bias <= -10:
        assert int(held.plane.offsets.argmin()) == 7


def test_decoys(memorised, grokked):
    names = ["generalisation"]
    assert detectors.run(memorised, names=names)[0].verdict == "absent"
    assert generalisation(memorised).remark == ""  # of nothing that is there nothing is said
    assert detectors.run(grokked, names=names)[0].verdict == "present"


MUTANTS = {
    "f fitted on all pairs": (LogitGrid, "among", lambda self, mask: torch.arange(self.n**2)),
    "echoes are unseen": (detectors.subjects.operands.split.Split, "unseen", property(lambda self: ~self.train)),
    "answer one place off": (
        parts,
        "structured_loss",
        lambda f, t, e: torch.logsumexp(f / t, -1) - (f / t)[..., e - 1],
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_caught(mutant, monkeypatch):
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises((AssertionError, Undetermined)):
        test_a_table_is_chance_and_a_circuit_is_certain("add:23")
        test_the_structured_part_never_sees_the_training_pairs_nor_their_echoes()
