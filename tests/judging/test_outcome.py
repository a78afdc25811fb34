"""What a small change of every figure would leave as it is."""

import pytest

from detectors.core.registry import load, spec_of
from detectors.core.verdict import Verdict
from detectors.judging.calibration import calibration
from detectors.judging.outcome import Outcome, steady
from tests.judging.test_verdict import score

SPEC = spec_of(load("trig_logits"))
THRESHOLD = calibration()["rows"]["trig_logits"]["threshold"]


@pytest.mark.parametrize(
    ("figures", "p_adjusted", "stays"),
    [
        ({}, 0.02, True),
        ({"value": THRESHOLD + 0.09}, 0.02, False),
        ({"value": THRESHOLD - 0.09}, 0.02, False),
        ({"value": THRESHOLD - 0.11}, 0.02, True),
        ({}, 0.03, False),  # twice as much is no longer beyond chance
        ({}, 0.08, False),
        ({}, 0.2, True),
        ({"necessity": 0.14}, 0.02, False),
        ({"necessity": 0.14, "control": 0.13}, 0.02, False),
        ({"control": 0.16}, 0.02, False),
        ({"control": 0.6}, 0.02, True),
        ({"sufficiency": 0.6}, 0.02, False),
        ({"sufficiency": 0.5}, 0.02, False),
        ({"sufficiency": 0.4}, 0.02, True),
        ({"p_value": 0.04}, 0.02, False),
        ({"control": None}, 0.02, True),
        ({"control": "unknown"}, 0.02, True),
    ],
)
def test_a_verdict_is_steady_that_no_figure_moved_by_a_tenth_turns(figures, p_adjusted, stays):
    p = figures.pop("p_value", None)
    found = score(**figures) if p is None else score(**figures, p_value=p)
    outcome = Outcome("trig_logits", spec=SPEC, score=found, p_adjusted=p_adjusted)
    assert steady(outcome, 0.1) is stays


@pytest.mark.parametrize(("verdict", "stays"), [(Verdict.NOT_APPLICABLE, True), (Verdict.INCONCLUSIVE, False)])
def test_of_what_is_undetermined_nothing_is_known(verdict, stays):
    assert steady(Outcome("trig_logits", spec=SPEC, verdict=verdict), 0.1) is stays
