"""The policy, condition by condition."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import detectors
from detectors.core.registry import builtin, load, spec_of
from detectors.core.score import Causal, Null, Score
from detectors.judging import calibration as table
from detectors.judging.calibration import calibration
from detectors.judging.verdict import holm, judge
from detectors.rewire import Rewired
from detectors.subjects.operands.view import ModelView
from models_zoo import trig_mlp

SPEC = spec_of(load("trig_logits"))
ROW = {"version": SPEC.version, "threshold": 0.5}
LOSS = {"basis": "random_frames", "pairs": 99}


def score(value=0.9, p=0.005, smallest=0.005, remark="", **cause):
    """A used circuit, but for what is said; control="unknown": no cause at all."""
    figures = {"necessity": 0.9, "sufficiency": 1.0, "control": 0.0, "pairs": 1000, "basis": "unseen_pairs"} | cause
    return Score(
        value=value,
        null=Null(permuted="x", draws=199, mean=0.1, p_value=p, smallest=smallest),
        causal=None if figures["control"] == "unknown" else Causal(**figures),
        remark=remark,
    )


@pytest.mark.parametrize(
    ("case", "p_adjusted", "row", "expected", "words"),
    [
        (score(), 0.025, ROW, "present", "necessity 0.90, sufficiency 1.00, control 0.00, 1000 unseen pairs"),
        (score(basis="all_pairs"), 0.025, ROW, "present", "1000 of all pairs"),
        (score(value=0.4), 0.025, ROW, "absent", "threshold 0.50"),
        (
            replace(score(value=0.4), unsettled="more is right"),
            0.025,
            ROW,
            "inconclusive",
            "more is right: score 0.400",
        ),
        (replace(score(), unsettled="more is right"), 0.025, ROW, "present", "necessity 0.90"),
        (score(p=0.2), 0.2, ROW, "absent", "not beyond chance"),
        (score(p=0.1, smallest=0.1), 0.5, ROW, "inconclusive", "in many draws, and more do not help"),
        (score(p=0.03, smallest=0.03), 0.15, ROW, "inconclusive", "in many draws, and more do not help"),  # 5 of 199
        (score(p=0.025, smallest=0.025), 0.125, ROW, "inconclusive", "more --draws may help"),  # 4 of 199
        (score(control="unknown"), 0.025, ROW, "inconclusive", "too few right answers"),
        (score(control=None), 0.025, ROW, "inconclusive", "too few dimensions to remove others for a control"),
        (score(necessity=1.0, control=1.0), 0.025, ROW, "inconclusive", "random directions beside it destroy"),
        (score(necessity=0.96, control=0.27), 0.025, ROW, "inconclusive", "random directions beside it destroy"),
        (score(necessity=1.0, sufficiency=0.15), 0.025, ROW, "inconclusive", "used, but does not answer alone"),
        (score(necessity=0.02), 0.025, ROW, "inert", "changes nothing: necessity 0.02"),
        (score(necessity=0.02, sufficiency=0.1), 0.025, ROW, "inert", "changes nothing"),
        (score(necessity=0.3, control=0.24, p_value=0.2, pairs=30), 0.025, ROW, "inert", "30 unseen pairs"),
        (score(control=None, **LOSS), 0.025, ROW, "present", "sufficiency 1.00, 99 random frames of the same norms"),
        (score(control=None, necessity=0.02, **LOSS), 0.025, ROW, "inert", "changes nothing: necessity 0.02"),
        (score(control=None, p_value=0.2, **LOSS), 0.025, ROW, "inert", "99 random frames"),
        (score(control=None, sufficiency=0.1, **LOSS), 0.025, ROW, "inconclusive", "does not answer alone"),
        (score(), 0.025, None, "inconclusive", "no calibrated threshold"),
        (score(), 0.025, ROW | {"version": SPEC.version + 1}, "inconclusive", f"version {SPEC.version + 1}"),
        (score(), 0.025, ROW | {"stale": True}, "inconclusive", "another zoo"),
    ],
)
def test_what_decides(case, p_adjusted, row, expected, words):
    found, reason = judge(SPEC, case, p_adjusted, row)
    assert found == expected
    assert words in reason


def test_a_decomposition_of_the_logits_needs_no_cause():
    spec = spec_of(load("generalisation"))
    assert judge(spec, score(control="unknown"), 0.025, ROW | {"version": spec.version})[0] == "present"


@pytest.mark.parametrize("value", [0.4, 0.9])
@pytest.mark.parametrize("p", [0.005, 0.2])
def test_a_remark_stands_in_the_reason_whatever_was_judged(value, p):
    for case in (score(), score(control=None), score(control=1.0), score(necessity=0.0), score(sufficiency=0.1)):
        case = replace(case, value=value, null=replace(case.null, p_value=p), remark="louder on its training pairs")
        assert "; louder on its training pairs" in judge(SPEC, case, p, ROW).reason


def step_down(p):
    """Holm's procedure as he states it: hypotheses rejected one after the other, from the smallest p-value."""
    order, levels = sorted(range(len(p)), key=lambda i: p[i]), []
    for rank, i in enumerate(order):
        levels.append((i, (len(p) - rank) * p[i]))
    return [min(1.0, max(level for _, level in levels[: [i for i, _ in levels].index(k) + 1])) for k in range(len(p))]


@given(st.lists(st.integers(0, 40).map(lambda k: k / 40), min_size=1, max_size=8))
def test_holm_is_the_step_down_procedure(p):
    assert holm(p) == pytest.approx(step_down(p))


def test_holm_on_a_worked_example():
    """Five p-values, the smallest times five, the next times four, and none below the one before."""
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])
    assert holm([0.5, 0.001, 0.5]) == pytest.approx([1.0, 0.003, 1.0])
    assert holm([]) == []


@pytest.mark.parametrize(
    ("case", "p_adjusted", "expected"),
    [
        (score(value=0.5), 0.05, "present"),  # both bounds are reached
        (score(value=0.4999), 0.05, "absent"),
        (score(p=0.02), 0.0501, "absent"),
        (score(p=0.04, smallest=0.04), 0.06, "inconclusive"),  # the best that these draws give is 0.06 after Holm
        (score(p=0.04, smallest=0.03), 0.06, "absent"),  # and here 0.045
        (score(p=0.04, smallest=0.1 / 3), 0.06, "absent"),  # 0.05 itself would do
        # necessity against its control: NOISE
        (score(necessity=0.05), 0.01, "inert"),
        (score(necessity=0.0501), 0.01, "present"),
        (score(necessity=0.25, control=0.2), 0.01, "inert"),
        (score(necessity=0.26, control=0.2), 0.01, "present"),
        (score(necessity=0.1, control=0.2), 0.01, "inert"),  # the control does more
        # the same pairs, paired: LEVEL
        (score(p_value=0.05), 0.01, "present"),
        (score(p_value=0.0501), 0.01, "inert"),
        # the motif alone: SUFFICIENT
        (score(sufficiency=0.55), 0.01, "present"),
        (score(sufficiency=0.5499), 0.01, "inconclusive"),
        # random directions alone: DESTROYS
        (score(control=0.2499), 0.01, "present"),
        (score(control=0.25), 0.01, "inconclusive"),
        (score(necessity=0.25, control=0.25), 0.01, "inconclusive"),  # inert is not said of what breaks anywhere
        # a missing control says nothing, whatever the other two
        (score(necessity=0.0, control=None), 0.01, "inconclusive"),
    ],
)
def test_every_bound_decides_at_its_value(case, p_adjusted, expected):
    assert judge(SPEC, case, p_adjusted, ROW).verdict == expected


def test_without_a_null_nothing_is_settled_but_absence():
    bare = replace(score(), null=None)
    assert judge(SPEC, bare, None, ROW).verdict == "inconclusive"
    assert judge(SPEC, bare, 0.01, ROW).verdict == "inconclusive"
    assert judge(SPEC, score(), None, ROW).verdict == "inconclusive"
    assert judge(SPEC, replace(score(value=0.1), null=None), None, ROW).verdict == "absent"


def test_reasons_say_the_figures():
    assert judge(SPEC, score(remark="flat"), 0.025, ROW).reason == (
        "score 0.900, threshold 0.50; flat, adjusted p 0.025, necessity 0.90, sufficiency 1.00, control 0.00, "
        "1000 unseen pairs"
    )
    said = judge(SPEC, score(p=0.1, smallest=0.1), 0.5, ROW).reason
    assert "the smallest with 199 draws and this many tokens is 0.100, 0.500 after Holm" in said


def test_every_detector_has_a_row_of_its_version():
    rows = calibration()["rows"]
    assert set(rows) == set(builtin())
    for name in builtin():
        assert rows[name]["version"] == spec_of(load(name)).version
        assert 0 < rows[name]["threshold"] < 1


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_score_outside_its_range_cannot_be_made(value):
    with pytest.raises(ValueError, match="value must lie"):
        score(value=value)


def test_a_calibration_of_another_zoo_turns_itself_off(monkeypatch, grokked):
    class Other:
        def load(self):
            return lambda: "0" * 64

    monkeypatch.setattr(table, "entry_points", lambda group: [Other()])
    table.calibration.cache_clear()
    try:
        report = detectors.run(grokked, names=["trig_logits", "memorisation"], draws=39)
    finally:
        table.calibration.cache_clear()
    assert {d.verdict for d in report} == {"inconclusive"}
    assert all("another zoo" in d.reason for d in report)
    assert report.calibration == "stale"
    assert "verdicts are off" in str(report)


def test_rates_are_shown_of_the_calibration_that_judged():
    row = calibration()["rows"]["trig_logits"]
    assert table.rates("trig_logits", row["version"], row["threshold"]) is row
    for version, threshold in ((row["version"] + 1, row["threshold"]), (row["version"], 0.99), (row["version"], None)):
        assert table.rates("trig_logits", version, threshold) is None
    assert table.rates("nothing", 1, 0.5) is None


def test_without_a_zoo_the_calibration_is_taken_as_shipped(monkeypatch):
    monkeypatch.setattr(table, "entry_points", lambda group: [])
    table.calibration.cache_clear()
    try:
        assert table.calibration()["status"] == "calibrated"
    finally:
        table.calibration.cache_clear()


def test_a_model_unlike_those_calibrated_on_is_judged_and_the_reason_says_so():
    class Odd(Rewired):
        @property
        def architecture(self):
            return {"kind": "abacus"}

    view = trig_mlp(p=131, frequencies=(3, 5), train_fraction=0.9)
    inside = detectors.run(view, names=["trig_logits"], draws=39)[0]
    assert "calibrated on groups of order" in inside.reason
    small = trig_mlp(p=23, frequencies=(3, 5), train_fraction=0.5)
    odd = ModelView(Odd(small.network), small.task, train_mask=small.train_mask)
    plain, strange = (detectors.run(v, names=["trig_logits"], draws=39)[0] for v in (small, odd))
    assert plain.verdict == strange.verdict == "present"
    assert "calibrated on" not in plain.reason
    assert strange.reason.endswith("and this one is abacus")


def test_run_takes_names_and_functions_and_says_what_it_does_not_know(grokked):
    by_name = detectors.run(grokked, names=["memorisation"], draws=39)[0]
    by_function = detectors.run(grokked, names=[detectors.memorisation], draws=39)[0]
    assert by_name.model_copy(update={"seconds": 0.0}) == by_function.model_copy(update={"seconds": 0.0})
    with pytest.raises(detectors.DetectorsError, match="no detector 'memorization'; there are sparse_fourier"):
        detectors.run(grokked, names=["memorization"])
    with pytest.raises(TypeError, match=r"run takes a model, not str: detectors.run\(detectors.load\(path\)\)"):
        detectors.run("model.pt")


def test_a_detector_of_ones_own_runs_without_a_package(grokked):
    @detectors.detector(needs=("logits",), version=1, source="here")
    def mine(model, /, *, draws, seed):
        return Score(value=0.5, null=None, causal=None)

    found = detectors.run(grokked, names=[mine])["mine"]
    assert (found.verdict, found.score) == ("inconclusive", 0.5)


def test_entry_points_that_exit_leave_nothing_behind(monkeypatch):
    """They are run wherever a report is judged, and in no process of their own."""

    class Exits:
        def load(self):
            raise SystemExit(0)

    monkeypatch.setattr(table, "entry_points", lambda group: [Exits()])
    table.calibration.cache_clear()
    try:
        assert table.calibration()["status"] == "stale"
    finally:
        table.calibration.cache_clear()
