"""The picture and the clause of `trig_logits` say what its score says."""

import numpy as np
import pytest

from detectors import trig_logits
from detectors.core.registry import picture_of, spec_of
from tests.motifs.made import half, of_characters

FEW = {"draws": 39}
pictures, clause = picture_of(trig_logits), spec_of(trig_logits).clause


def test_no_irrep_no_picture_and_no_cause():
    score = trig_logits(of_characters("add:11", (2, -1.0)), **FEW)
    assert (score.irreps, score.key_irreps, score.value, score.causal) == ((), (), 0, None)
    assert pictures(score) == []


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
    assert ("unseen pairs" in drawn.reading) == (train is not None)
