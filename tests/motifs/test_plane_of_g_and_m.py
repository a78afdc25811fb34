"""`generalisation` and `memorisation` on mixtures of a circuit and a lookup table, and their mutants."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

import detectors
from detectors import generalisation, memorisation
from detectors.core.errors import Undetermined
from detectors.motifs import memorisation as m_module
from detectors.subjects.operands import plane
from detectors.subjects.operands.plane import LogitGrid, remainder_loss
from fixtures.transforms import with_weights
from models_zoo import group_network, logit_mixture, lookup_table, trig_mlp

FEW = {"draws": 39}


@pytest.mark.parametrize("spec", ["add:23", "sub:24", "mul:23", "compose:S4", "compose:D11"])
def test_a_table_memorises_and_a_circuit_generalises(spec):
    table = logit_mixture(spec, circuit=0.0, table=10.0)
    circuit = logit_mixture(spec, circuit=10.0, table=0.0)
    assert generalisation(table, **FEW).value < 0.1
    assert memorisation(table, **FEW).value > 0.85
    assert memorisation(table, **FEW).membership_advantage > 0.99
    assert generalisation(circuit, **FEW).value > 0.99
    assert memorisation(circuit, **FEW).value < 0.1


@given(seed=st.integers(0, 1000))
def test_mixtures_move_along_the_plane_in_order(seed):
    mixtures = [logit_mixture("add:23", circuit=c, table=6.0, noise=1.0, seed=seed) for c in (0.0, 0.25, 1.0, 4.0)]
    g = [generalisation(m, **FEW).value for m in mixtures]
    assert g[0] < 0.5  # chance: 23 answers, few of them far ahead in the noise
    assert g[0] < g[2] <= g[3] + 1e-6
    drowned = memorisation(mixtures[1], **FEW)
    assert drowned.value > 0.5  # the table still answers for itself
    weaker = [
        memorisation(logit_mixture("add:23", circuit=4.0, table=t, noise=1.0, seed=seed), **FEW)
        for t in (6.0, 2.0, 0.0)
    ]
    assert [s.membership_advantage for s in weaker] == sorted((s.membership_advantage for s in weaker), reverse=True)


@pytest.mark.parametrize("scale", [0.01, 100.0])
def test_the_scale_of_the_logits_does_not_matter(grokked, memorised, scale):
    for view in (grokked, memorised):
        scaled = with_weights(view, unembed__W_U=view.weight("unembed.W_U") * scale)
        assert generalisation(scaled, **FEW).value == pytest.approx(generalisation(view, **FEW).value, abs=1e-4)
        assert memorisation(scaled, **FEW).value == pytest.approx(memorisation(view, **FEW).value, abs=1e-3)


def test_the_advantage_is_twice_the_area_under_the_curve_less_one(memorised):
    grid = memorised.plane
    loss, _ = remainder_loss(grid, grid.fibre_mean(grid.among(~memorised.split.train)))
    auc = roc_auc_score(memorised.train_mask, -loss.numpy())
    assert memorisation(memorised, **FEW).membership_advantage == pytest.approx(2 * auc - 1)


def test_the_structured_part_never_sees_the_training_pairs():
    """Whatever the logits of the training pairs are, G is the same."""
    view = logit_mixture("add:23", circuit=1.0, table=0.0, noise=1.0)
    before = generalisation(view, **FEW)
    changed = logit_mixture("add:23", circuit=1.0, table=50.0, noise=1.0)
    after = generalisation(changed, **FEW)
    assert after.value == before.value
    assert after.structured_accuracy == before.structured_accuracy


def test_the_temperature_is_the_best_one():
    rng = np.random.default_rng(0)
    folds = torch.from_numpy(rng.standard_normal((2, 7)) + np.array([[2.0], [0.5]]) * np.eye(7)[3])
    found = float(plane.best_temperature(folds, 3, 1e6))
    grid = np.exp(np.linspace(np.log(found) - 3, np.log(found) + 3, 2001))
    assert folds[1].argmax() != 3  # so that the best temperature is finite
    losses = [float((torch.logsumexp(folds / t, 1) - folds[:, 3] / t).sum()) for t in grid]
    assert found == pytest.approx(grid[int(np.argmin(losses))], rel=0.01)


def test_a_half_way_model_is_called_so():
    report = detectors.run(logit_mixture("add:29", circuit=2.0, table=9.0, noise=1.0))
    assert report["generalisation"].verdict == "present"
    assert report["memorisation"].verdict == "present"
    assert "drowned" in report.summary
    assert report["memorisation"].evidence["phase"] == "circuit formation"


def test_a_table_that_is_silent_on_other_pairs_is_a_memoriser_all_the_same():
    """Equal logits on every test pair: a tie is not an answer, whichever element is numbered 0."""
    table = lookup_table("add:13", train_fraction=0.5, noise=0.0)
    g, m = generalisation(table, **FEW), memorisation(table, **FEW)
    assert (g.value, g.structured_accuracy) == (0.0, 0.0)
    assert (m.value, m.remainder_accuracy_train, m.remainder_accuracy_test) == (1.0, 1.0, 0.0)


def test_unknown_or_useless_training_sets_settle_nothing():
    view = trig_mlp(p=11, frequencies=(3,))
    for detector in (generalisation, memorisation):
        with pytest.raises(Undetermined, match="train-indices"):
            detector(view)
    view = view.with_train_mask(np.ones(121, dtype=bool))
    with pytest.raises(Undetermined, match="0 labelled pairs"):
        generalisation(view)
    with pytest.raises(Undetermined, match="both sides"):
        memorisation(view)


def test_decoys(memorised, grokked):
    verdicts = {v: {d.detector: d.verdict for d in detectors.run(m)} for v, m in {"m": memorised, "g": grokked}.items()}
    assert (verdicts["m"]["generalisation"], verdicts["m"]["memorisation"]) == ("absent", "present")
    assert memorisation(memorised, **FEW).phase == "memorisation"
    assert memorisation(grokked, **FEW).phase in ("cleanup", "generalisation")
    assert memorisation(detectors.load("zoo:add53_untrained"), **FEW).phase == "initial"
    assert (verdicts["g"]["generalisation"], verdicts["g"]["memorisation"]) == ("present", "absent")
    perfect = group_network(detectors.Group.from_name("S4"), [3], train_fraction=0.5)
    assert memorisation(perfect, **FEW).value < 0.1


def all_pairs(self, mask):
    return torch.arange(self.n**2)


MUTANTS = {
    "f fitted on all pairs": (LogitGrid, "among", all_pairs),
    "answer one place off": (
        plane,
        "structured_loss",
        lambda f, t, e: torch.logsumexp(f / t, -1) - (f / t)[..., e - 1],
    ),
    "train and test exchanged": (m_module, "_advantage", lambda loss, train: -1.0),
    "remainder is the whole": (m_module, "remainder_loss", lambda grid, f: remainder_loss(grid, torch.zeros_like(f))),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants_are_caught(mutant, monkeypatch, memorised):
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises(AssertionError):
        test_a_table_memorises_and_a_circuit_generalises("add:23")
        test_the_advantage_is_twice_the_area_under_the_curve_less_one(memorised)
        circuit = logit_mixture("add:23", circuit=10.0, table=2.0)
        assert memorisation(circuit, **FEW).remainder_accuracy_test < 0.2
