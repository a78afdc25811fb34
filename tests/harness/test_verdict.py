"""The policy, condition by condition."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectors.core.registry import BUILTIN, load, spec_of
from detectors.core.score import Causal, Null, Score
from detectors.harness.verdict import calibration, holm, judge

SPEC = spec_of(load("trig_logits"))
ROW = {"version": 1, "threshold": 0.5}


def score(value=0.9, p=0.005, smallest=0.005, causal=(0.9, 0.0, 1000)):
    return Score(
        value=value,
        null=Null(permuted="x", draws=199, mean=0.1, p_value=p, smallest=smallest),
        causal=Causal(necessity=causal[0], sufficiency=1.0, control=causal[1], pairs=causal[2], basis="test_pairs")
        if causal
        else None,
    )


@pytest.mark.parametrize(
    ("case", "p_adjusted", "row", "verdict", "words"),
    [
        (score(), 0.025, ROW, "present", "necessity 0.90"),
        (score(value=0.4), 0.025, ROW, "absent", "threshold 0.50"),
        (score(p=0.2), 0.2, ROW, "absent", "not beyond chance"),
        (score(p=0.1, smallest=0.1), 0.5, ROW, "inconclusive", "draws may help"),
        (score(causal=None), 0.025, ROW, "inconclusive", "too few pairs"),
        (score(causal=(0.02, 0.0, 1000)), 0.025, ROW, "inert", "changes nothing"),
        (score(causal=(0.80, 0.78, 1000)), 0.025, ROW, "inert", "control 0.78"),
        (score(causal=(0.30, 0.1, 30)), 0.025, ROW, "inert", "30 pairs"),
        (score(causal=(0.9, None, 1000)), 0.025, ROW, "present", "no control available"),
        (score(), 0.025, None, "inconclusive", "no calibrated threshold"),
        (score(), 0.025, {"version": 2, "threshold": 0.5}, "inconclusive", "version 2"),
    ],
)
def test_what_decides(case, p_adjusted, row, verdict, words):
    found, reason = judge(SPEC, case, p_adjusted, row)
    assert found == verdict
    assert words in reason


def test_a_decomposition_of_the_logits_needs_no_cause():
    assert judge(spec_of(load("generalisation")), score(causal=None), 0.025, ROW)[0] == "present"


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_is_monotone_and_between_the_raw_values_and_bonferroni(p):
    adjusted = holm(p)
    for raw, new in zip(p, adjusted, strict=True):
        assert raw <= new <= min(1.0, raw * len(p)) or new == max(adjusted[p.index(q)] for q in p if q <= raw)
    ordered = [adjusted[i] for i in sorted(range(len(p)), key=p.__getitem__)]
    assert all(a <= b for a, b in pairwise(ordered))


def test_every_detector_has_a_row_of_its_version():
    rows = calibration()["rows"]
    assert set(rows) == set(BUILTIN)
    for name in BUILTIN:
        assert rows[name]["version"] == spec_of(load(name)).version
        assert 0 < rows[name]["threshold"] < 1


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_score_outside_its_range_cannot_be_made(value):
    with pytest.raises(ValueError, match="value must lie"):
        score(value=value)
