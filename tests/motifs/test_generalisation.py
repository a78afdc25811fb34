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
from detectors.judging.calibration import calibration
from detectors.motifs.generalisation import MIN_TEST
from detectors.subjects.operands import plane
from detectors.subjects.operands.plane import LogitGrid, g_of
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from fixtures.transforms import with_weights
from models_zoo import logit_mixture, lookup_table, trig_mlp
from models_zoo.analytic import _TableNetwork

THRESHOLD = calibration()["rows"]["generalisation"]["threshold"]
FEW = {"draws": 39}


def mask_of(p: int, trained: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(p * p) < trained


def noisy_circuit(p: int, share: float, seed: int = 0) -> np.ndarray:
    """[pairs, answers] white noise, and a circuit [c = a + b] of this share of the squares of the centred logits."""
    logits = np.random.default_rng(seed).standard_normal((p * p, p))
    logits[np.arange(p * p), Task.parse(f"add:{p}").answer.ravel()] += (share / (1 - share) * p) ** 0.5
    return logits


def with_logits(logits: np.ndarray, train: np.ndarray) -> ModelView:
    p = logits.shape[1]
    return ModelView(_TableNetwork(torch.from_numpy(logits).float(), p), Task.parse(f"add:{p}"), train_mask=train)


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
    return with_logits(f[(a + b - c) % p].reshape(p * p, p), mask_of(p, 60))


def test_a_circuit_without_noise_is_certain():
    """Logits 3 [a + b = c], whose cross-entropy at temperature T is ln(1 + 10 exp(-3 / T))."""
    score = generalisation(structured(3.0 * (np.arange(11) == 0)), **FEW)
    assert score.test_loss == pytest.approx(math.log1p(10 * math.exp(-3 / score.temperature)), abs=1e-12)
    assert score.structured_share == pytest.approx(1)
    assert (score.value, score.structured_accuracy) == (pytest.approx(1), 1.0)
    assert score.chance_loss == pytest.approx(math.log(11))


def test_no_temperature_is_under_a_hundredth_of_the_deviation_of_the_logits():
    """The answer leads by a tenth, so that half of it would be better still."""
    f = np.array([1.0, 0.9, *[0] * 9])
    score = generalisation(structured(f), **FEW)
    assert score.temperature == pytest.approx(f.std() / 100)
    assert score.test_loss == pytest.approx(math.log1p(math.exp(-0.1 / score.temperature)), rel=1e-4)


@pytest.mark.parametrize(("share", "scaled"), [(0.1, False), (0.012, True)])
def test_the_value_is_scaled_down_where_the_structured_part_is_under_two_percent(share, scaled):
    score = generalisation(with_logits(noisy_circuit(53, share), mask_of(53, 800)), **FEW)
    assert score.structured_share == pytest.approx(share, abs=0.002)
    g = 1 - score.test_loss / math.log(53)
    assert g > 0.9
    assert score.value == pytest.approx(g * min(1, score.structured_share / 0.02))
    assert (score.value < 0.8) == scaled


@given(seed=st.integers(0, 1000))
def test_mixtures_move_along_the_plane_in_order(seed):
    mixtures = [logit_mixture("add:13", circuit=c, table=6.0, noise=1.0, seed=seed) for c in (0.0, 1.5, 4.0)]
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


def test_the_structured_part_never_sees_the_training_pairs():
    """Whatever the logits of the training pairs are, G is the same."""
    before, after = (
        generalisation(logit_mixture("add:23", circuit=1.0, table=table, noise=1.0), **FEW) for table in (0.0, 50.0)
    )
    assert after == before


def test_its_evidence_counts_pairs():
    score = generalisation(trig_mlp(p=37, frequencies=(3,), train_fraction=0.1), **FEW)
    assert score.train_fraction == pytest.approx(136 / 1369)
    assert score.train_set == "given"
    assert score.causal is None
    assert score.null.permuted == "labels of 1024 test pairs"
    assert (score.null.draws, score.null.p_value) == (39, 1 / 40)
    assert score.null.mean < 0.1  # of renamed answers
    few = generalisation(trig_mlp(p=11, frequencies=(3,), train_fraction=0.4), **FEW)
    assert few.null.permuted == "labels of 73 test pairs"


def test_the_structured_part_of_noise_is_right_by_luck_alone():
    """Its largest value is at the identity in 1 of p models."""
    views = [with_logits(noisy_circuit(5, 0.0, seed), mask_of(5, 0)).plane for seed in range(60)]
    right = [float(v.fibre_mean(v.everything).argmax() == 0) for v in views]
    scores = [generalisation(with_logits(noisy_circuit(7, 0.0, s), mask_of(7, 10, s)), draws=1) for s in range(60)]
    assert {score.structured_accuracy for score in scores} == {0.0, 1.0}
    for found in (right, [score.structured_accuracy for score in scores]):
        assert np.mean(found) < 0.4


@pytest.mark.parametrize("left", [31, 32])
def test_at_least_32_test_pairs_are_needed(left):
    view = with_logits(noisy_circuit(11, 0.5), mask_of(11, 121 - left))
    if left < 32:
        with pytest.raises(Undetermined, match="31 labelled pairs are outside the training set; at least 32 "):
            generalisation(view, **FEW)
    else:
        assert generalisation(view, **FEW).value > 0.5


def test_that_many_pairs_show_a_circuit_that_counts_in_full_and_half_as_many_do_not():
    """Of a + b mod 53 a circuit of 2% of the logits, above which G is not scaled down."""

    def mean_g(pairs: int) -> float:
        grids = [with_logits(noisy_circuit(53, 0.02, seed), mask_of(53, 0)).plane for seed in range(20)]
        rng = np.random.default_rng(0)
        drawn = [torch.from_numpy(rng.choice(53 * 53, pairs, replace=False)) for _ in grids]
        return float(np.mean([g_of(grid, k, 0).g for grid, k in zip(grids, drawn, strict=True)]))

    assert mean_g(MIN_TEST) > 0.75 > 0.65 > mean_g(MIN_TEST // 2)
    assert MIN_TEST >= 2 * plane.BLOCKS  # so that every fold has pairs


def test_the_temperature_is_the_best_one():
    rng = np.random.default_rng(0)
    folds = torch.from_numpy(rng.standard_normal((2, 7)) + np.array([[2.0], [0.5]]) * np.eye(7)[3])
    found = float(plane.best_temperature(folds, 3, 1e6))
    grid = np.exp(np.linspace(np.log(found) - 3, np.log(found) + 3, 2001))
    assert folds[1].argmax() != 3  # so that the best temperature is finite
    losses = [float((torch.logsumexp(folds / t, 1) - folds[:, 3] / t).sum()) for t in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=0.01)


def test_an_unknown_training_set_settles_nothing():
    with pytest.raises(Undetermined, match="train-indices"):
        generalisation(trig_mlp(p=11, frequencies=(3,)))


def test_a_table_that_is_silent_on_other_pairs_holds_nothing():
    """Equal logits on every test pair: a tie is not an answer, whichever element is numbered 0."""
    score = generalisation(lookup_table("add:13", train_fraction=0.5, noise=0.0), **FEW)
    assert (score.value, score.structured_accuracy, score.null.p_value) == (0.0, 0.0, 1.0)


def test_a_memoriser_with_a_drowned_circuit_scores_high():
    """It says what the model holds: alone the circuit answers every pair, and the model no pair in ten."""
    view = logit_mixture("add:29", circuit=2.0, table=9.0, noise=1.0)
    score = generalisation(view, **FEW)
    assert score.value > 0.9
    assert view.figures().accuracy.test < 0.75
    report = detectors.run(view)
    assert {report[name].verdict for name in ("generalisation", "memorisation")} == {"present"}
    assert "drowned" in report.summary
    assert report["memorisation"].evidence["phase"] == "circuit formation"


def test_a_lookup_up_to_order_answers_the_flips_of_its_pairs_and_scores_high():
    p, train = 13, mask_of(13, 130)
    echoed = train | train.reshape(p, p).T.reshape(-1)
    logits = 0.1 * np.random.default_rng(0).standard_normal((p * p, p))
    logits[np.flatnonzero(echoed), Task.parse(f"add:{p}").answer.ravel()[echoed]] += 10
    assert generalisation(with_logits(logits, train), **FEW).value > THRESHOLD


def test_with_an_inferred_training_set_g_is_a_lower_bound():
    """Some test pairs are answered as well as training pairs: the inferred set takes them from the test pairs."""
    p, train = 23, mask_of(23, 250)
    logits = 2.0 * np.random.default_rng(1).standard_normal((p * p, p))
    answered = train | (np.random.default_rng(2).random(p * p) < 0.1)
    logits[np.flatnonzero(answered), Task.parse(f"add:{p}").answer.ravel()[answered]] += 25
    given_, inferred = with_logits(logits, train), ModelView(with_logits(logits, train).network, Task.parse(f"add:{p}"))
    scores = [generalisation(view, **FEW) for view in (given_, inferred)]
    assert [score.train_set for score in scores] == ["given", "inferred"]
    assert scores[1].train_fraction > scores[0].train_fraction
    assert scores[1].value < scores[0].value


def test_decoys(memorised, grokked):
    names = ["generalisation"]
    assert detectors.run(memorised, names=names)[0].verdict == "absent"
    assert detectors.run(grokked, names=names)[0].verdict == "present"


def all_pairs(self, mask):
    return torch.arange(self.n**2)


MUTANTS = {
    "f fitted on all pairs": (LogitGrid, "among", all_pairs),
    "answer one place off": (
        plane,
        "structured_loss",
        lambda f, t, e: torch.logsumexp(f / t, -1) - (f / t)[..., e - 1],
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_caught(mutant, monkeypatch):
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises(AssertionError):
        test_a_table_is_chance_and_a_circuit_is_certain("add:23")
