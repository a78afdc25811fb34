"""`memorisation` where nobody says which pairs a model was trained on, and the network answers all of them."""

import re

import numpy as np
import pytest
import torch

import detectors
from detectors import memorisation
from detectors.core.errors import Undetermined
from detectors.core.registry import picture_of
from detectors.subjects.operands.view import ModelView
from models_zoo import lookup_table
from models_zoo.hostile.circuits import cosines, with_lookup
from models_zoo.hostile.constructions import noise, plus

FEW = {"draws": 39}


def shares_by_hand(view: ModelView) -> np.ndarray:
    """[pairs] of a + b mod p, S fitted on all pairs: share of the winning margin that S does not give."""
    logits = view.logits().double().numpy()
    p = logits.shape[1]
    right = (np.arange(p * p) // p + np.arange(p * p) % p) % p
    aligned = np.take_along_axis(logits, (right[:, None] - np.arange(p)) % p, axis=1)
    f, rival = aligned.mean(0), 1 + aligned[:, 1:].argmax(1)
    margin = aligned[:, 0] - np.take_along_axis(aligned, rival[:, None], 1)[:, 0]
    return np.where(margin > 0, np.clip((margin - (f[0] - f[rival])) / margin, 0, 1), 0)


def test_without_a_split_a_network_that_answers_all_pairs_has_the_mean_share_over_them():
    view = with_lookup(cosines(), 0.02).with_train_mask(None)
    score = memorisation(view, **FEW)
    assert 0.001 < score.value < 0.02
    assert score.value == score.share_unseen == pytest.approx(shares_by_hand(view).mean(), abs=1e-6)
    assert (score.null, score.train_set) == (None, "unknown")
    for name in ("gain", "interval", "share_train", "membership_advantage", "train_fraction", "phase"):
        assert getattr(score, name) is None
    assert "it answers 961 of 961: if at least 32 pairs (3.3%) were trained on in neither order" in score.remark
    assert picture_of(memorisation)(score) == []
    assert detectors.run(view, names=["memorisation"])[0].verdict == "absent"


def test_the_number_of_pairs_that_it_rests_on_follows_from_the_wrong_ones():
    """Five of 961 wrong: of 50 unseen pairs nine tenths are answered even if all five are among them."""
    view = cosines().with_train_mask(None)
    wrong = noise(view.task, 0.0, 0)
    wrong[torch.arange(5), (torch.arange(5) + 7) % 31] = 9.0
    said = re.search(r"answers 956 of 961: if at least (\d+) pairs", memorisation(plus(view, wrong), **FEW).remark)
    assert 50 <= int(said[1]) <= 51


@pytest.mark.parametrize(
    "build", [lambda: lookup_table("add:29", train_fraction=1.0), lambda: with_lookup(cosines(), 1)]
)
def test_without_a_split_nothing_else_is_settled(build):
    """A lookup of every pair, whose spectrum is flat, and a circuit beside a lookup as tall as itself."""
    view = build()
    assert view.figures().accuracy.all == 1
    with pytest.raises(Undetermined, match="train-indices"):
        memorisation(view.with_train_mask(None), **FEW)
