"""What is told apart by margins and pulls, and what stays open."""

from dataclasses import replace

import pytest

from detectors.loading.evidence import Weighed, settle
from detectors.loading.stack import Reading
from detectors.loading.token_layout import TokenLayout

LAST = Weighed(Reading(0, TokenLayout((("a", 0), ("b", 0))), readout="last"), 1.0, pull=0.043, margin=2.0)
GELU = replace(LAST, reading=replace(LAST.reading, act_fn="gelu"))
MEAN = replace(LAST, reading=replace(LAST.reading, readout="mean"))


@pytest.mark.parametrize(
    ("rival", "margin", "pull", "stays_open"),
    [
        (GELU, 1.7, 0.043, True),
        (GELU, 1.6, 0.043, False),
        (GELU, 1.6, 0.326, False),  # of activation functions a pull says nothing
        (MEAN, 1.4, 0.043, True),  # of another place, whose logits have another spread
        (MEAN, 1.3, 0.043, False),
        (MEAN, 1.3, 0.2, True),  # a pull that is larger by 0.157
        (MEAN, 1.3, 0.19, False),
    ],
)
def test_what_a_margin_rules_out(rival, margin, pull, stays_open):
    rival = replace(rival, margin=margin, pull=pull)
    winner, tied = settle([LAST, rival], known=True)
    assert winner is LAST
    assert [w.reading for w in tied] == [rival.reading] * stays_open
