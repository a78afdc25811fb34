"""Which of several controls counts."""

import numpy as np
import pytest

import detectors
import models_zoo
from detectors.subjects.sequences.asking import Address, Asking
from detectors.subjects.sequences.head_causes import _Group
from detectors.subjects.sequences.patterns import sample_of


@pytest.mark.parametrize(
    ("language", "as_much", "beyond"), [(False, 0, True), (False, 1, False), (True, 1, True), (True, 2, False)]
)
def test_all_controls_count_and_of_a_language_model_more_than_half(language, as_much, beyond):
    """as_much: of four controls so many lose what the head does, the others nothing."""
    view = models_zoo.induction_head(n_tokens=12, n_ctx=16)
    view.language = language
    group = _Group(Asking.of(view, sample_of(view)), [(Address(1, 0), None)], ("z",))
    lost = group.by_kind["z"]
    assert lost.mean() > 0.5
    controls = [lost] * as_much + [np.zeros_like(lost)] * (4 - as_much)
    assert (group.cause(Address(1, 0), controls, 0).p_value < 0.05) == beyond


def test_a_head_under_chance_has_nothing_and_no_less():
    """A previous-token head sees no mirror image, of which one that looks anywhere sees a few."""
    (head,) = detectors.mirror_heads(models_zoo.induction_head(n_tokens=12, n_ctx=16), draws=19).heads
    assert (head["score"], head["p_value"]) == (0, 1)
