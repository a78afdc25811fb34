"""Conditions on a report written down by hand: at their bounds, and where there is nothing to hold them against."""

from pathlib import Path

import pytest

from detectors import trig_logits
from detectors.core.figures import BySplit
from detectors.core.registry import spec_of
from detectors.core.verdict import Verdict
from detectors.gate.baseline import BaselineError
from detectors.gate.conditions import Condition, conditions, evaluate, loading
from detectors.gate.policy import BaselinePolicy, Policy
from detectors.report.model import Alternative

HERE = Path()
ECHOED = (49, 30, 10, 9)


def failed(policy, report, baseline=None):
    outcomes = evaluate(conditions(Policy.model_validate(policy), HERE, baseline), report)
    return [o.sentence for o in outcomes if not o.passed]


@pytest.mark.parametrize(
    ("bound", "holds"),
    [
        ("trig_logits.score >= 0.6", True),
        ("trig_logits.score > 0.6", False),
        ("trig_logits.score <= 0.6", True),
        ("trig_logits.score < 0.6", False),
        ("trig_logits.score == 0.6", True),
        ("trig_logits.score == 0.61", False),
        ("trig_logits.p_value <= 0.005", True),
        ("trig_logits.p_adjusted <= 0.02", False),
        ("trig_logits.causal.necessity >= 0.75", True),
        ("trig_logits.causal.pairs == 100", True),
        ("trig_logits.explained_all_pairs > 0.4", True),
        ("memorisation.membership_advantage < 0.9", False),
    ],
)
def test_a_bound_at_equality(plain, bound, holds):
    assert bool(failed({"bounds": [bound]}, plain)) != holds


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ("trig_logits.nothing >= 0", "trig_logits.nothing is not there; trig_logits is present and has the numbers "),
        ("trig_logits.basis >= 0", "trig_logits.basis is no number"),
        ("trig_logits.irreps >= 0", "is no number"),
        ("memorisation.causal.necessity >= 0", "memorisation.causal.necessity is not there"),
        ("memorisation.p_adjusted <= 1", "memorisation.p_adjusted is not there"),
        ("generalisation.score >= 0", "generalisation was not run"),
    ],
)
def test_what_is_no_number_has_failed(plain, bound, words):
    (sentence,) = failed({"bounds": [bound]}, plain)
    assert words in sentence


@pytest.mark.parametrize("verdict", ["inconclusive", "error", "not_applicable"])
def test_a_figure_that_settles_no_verdict_settles_no_bound(made, verdict):
    report_of, detection = made
    (sentence,) = failed(
        {"bounds": ["trig_logits.score >= 0"]}, report_of(detection("trig_logits", verdict, score=1.0))
    )
    assert sentence == f"trig_logits is {verdict} (why trig_logits), so score could not be evaluated"


@pytest.mark.parametrize(("count", "holds"), [(0, True), (1, False), (15, False)])
def test_a_release_may_allow_no_answers_against_its_circuit(made, count, holds):
    report_of, detection = made
    evidence = {"exceptions": count, "exception_pairs": [[a, a, 6, 3] for a in range(count)]}
    report = report_of(detection("generalisation", "present", evidence=evidence))
    found = failed({"must": {"generalisation": "present"}, "bounds": ["generalisation.exceptions <= 0"]}, report)
    assert found == ([] if holds else [f"generalisation.exceptions is {count}; must be <= 0"])
    (sentence,) = failed({"bounds": ["generalisation.exception_pairs <= 0"]}, report)
    assert "is no number" in sentence


@pytest.mark.parametrize("value", [True, float("nan"), float("inf")])
def test_truths_and_infinities_are_no_numbers(made, value):
    report_of, detection = made
    report = report_of(detection("trig_logits", "present", evidence={"odd": value}))
    assert failed({"bounds": ["trig_logits.odd >= 0"]}, report)


@pytest.mark.parametrize("verdict", ["error", "not_applicable"])
def test_a_detector_without_a_result_satisfies_no_bound(made, verdict):
    report_of, detection = made
    (sentence,) = failed({"bounds": ["trig_logits.score >= 0"]}, report_of(detection("trig_logits", verdict)))
    assert sentence == f"trig_logits is {verdict} (why trig_logits), so score could not be evaluated"


@pytest.mark.parametrize(
    ("must", "must_not", "words"),
    [
        ({"trig_logits": "present"}, {}, None),
        ({"trig_logits": ["absent", "present"]}, {}, None),
        ({"trig_logits": ["absent", "inert"]}, {}, "trig_logits is present (why trig_logits); must be absent or inert"),
        ({}, {"trig_logits": "present"}, "must be inert or absent"),
        ({}, {"trig_logits": ["inert", "absent"]}, None),
        ({}, {"trig_logits": ["present", "inert", "absent"]}, "must be something else"),
        ({"generalisation": "present"}, {}, "generalisation was not run"),
    ],
)
def test_verdicts_that_must_and_must_not_be(plain, must, must_not, words):
    found = failed({"must": must, "must_not": must_not}, plain)
    assert (words is None and not found) or words in found[0]


@pytest.mark.parametrize("verdict", ["inconclusive", "error", "not_applicable"])
def test_what_is_not_settled_is_not_what_it_must_not_be_either(made, verdict):
    report_of, detection = made
    assert failed({"must_not": {"trig_logits": "absent"}}, report_of(detection("trig_logits", verdict)))


@pytest.mark.parametrize(
    ("accuracy", "floors", "words"),
    [
        ({"all": 0.9, "test": 0.8}, {"all": 0.9, "test": 0.8}, []),
        ({"all": 0.9, "test": 0.8}, {"all": 0.91, "test": 0.81}, ["must be >= 0.91", "must be >= 0.81"]),
        ({"train": None}, {"train": 0.0}, ["accuracy.train is not known"]),
        ({"all": float("nan")}, {"all": 0.0}, ["accuracy.all is not known"]),
        ({"all": None, "train": None}, {"all": 0.0}, ["accuracy.all is not known: the task add:7 asks for no answers"]),
        ({"test": 0.9, "unseen": 0.8, "cases": ECHOED}, {"test": 0.9, "unseen": 0.8}, []),
        (
            {"test": 0.9, "unseen": 0.0, "cases": ECHOED},
            {"test": 0.9, "unseen": 0.8},
            ["unseen is 0; must be"],
        ),
        ({"test": None, "cases": (49, 40, 9, 0)}, {"unseen": 0.1}, ["unseen is not known: there are no such pairs"]),
        ({"test": None, "cases": (49, None, None, None)}, {"unseen": 0.1}, ["the training pairs are unknown"]),
    ],
)
def test_least_accuracies(made, accuracy, floors, words):
    report_of, _ = made
    found = failed({"accuracy": floors}, report_of(accuracy=accuracy))
    assert len(found) == len(words)
    assert all(word in sentence for word, sentence in zip(words, found, strict=True))


def test_a_condition_that_crashes_has_failed_with_its_first_line(plain):
    def crash(report):
        raise ZeroDivisionError("by zero\nand more")

    (outcome,) = evaluate([Condition("x", "trig_logits", crash)], plain)
    assert (outcome.passed, outcome.sentence) == (False, "could not be evaluated: ZeroDivisionError: by zero")
    assert outcome.properties["score"] == 0.6


@pytest.mark.parametrize(
    ("moved", "rules", "words"),
    [
        ({"score": 0.55}, {}, None),  # by the tolerance itself, 0.05, but for rounding of binary fractions
        ({"score": 0.54}, {}, "score was 0.600, is 0.540 (a score may move by 0.05)"),
        ({"score": 0.54}, {"tolerance": 0.1}, None),
        ({"score": 0.54}, {"tolerances": {"trig_logits": 0.1}}, None),
        ({"score": 0.54}, {"tolerances": {"memorisation": 0.1}}, "may move by 0.05"),
        ({"evidence": {}}, {}, None),
        ({"evidence": {}}, {"key_irreps": "fail"}, "key irreps was freq_3 freq_5, is none"),
        ({"threshold": 0.5}, {}, "threshold was 0.1, is 0.5"),
        ({"version": 70}, {}, f"version was {spec_of(trig_logits).version}, is 70"),
    ],
)
def test_what_a_baseline_lets_pass(plain, tmp_path, moved, rules, words):
    file = tmp_path / "b.json"
    file.write_text(plain.model_copy(update={"detections": plain.detections}).to_json())
    now = plain.model_copy(update={"detections": [plain[0].model_copy(update=moved), plain[1]]})
    found = failed({"baseline": {"tolerance": 0.05 + 1e-9} | rules}, now, file)
    assert (words is None and not found) or words in found[0]
    assert "may move" not in "".join(found) or "score" in moved


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ({"verdict": Verdict.ERROR, "score": None}, {"verdict": Verdict.ERROR, "score": None}, "trig_logits is error"),
        ({"verdict": Verdict.INCONCLUSIVE}, {"verdict": Verdict.INCONCLUSIVE}, None),
        ({"verdict": Verdict.ERROR}, {}, None),
    ],
)
def test_a_crash_is_not_as_in_the_baseline(plain, tmp_path, before, after, words):
    def with_first(fields):
        return plain.model_copy(update={"detections": [plain[0].model_copy(update=fields), plain[1]]})

    (tmp_path / "b.json").write_text(with_first(before).to_json())
    found = failed({}, with_first(after), tmp_path / "b.json")
    assert (found == []) if words is None else found[0].startswith(words)


@pytest.mark.parametrize(("before", "after"), [("stale", "calibrated"), ("calibrated", "stale"), ("stale", "stale")])
def test_verdicts_of_a_stale_calibration_are_not_compared(plain, tmp_path, before, after):
    (tmp_path / "b.json").write_text(plain.model_copy(update={"calibration": before}).to_json())
    (sentence,) = failed({}, plain.model_copy(update={"calibration": after}), tmp_path / "b.json")
    assert "is stale, so its verdicts are off" in sentence


def test_an_empty_baseline_is_refused(made, tmp_path):
    report_of, _ = made
    (tmp_path / "b.json").write_text(report_of().to_json())
    with pytest.raises(BaselineError, match="holds no detections, so nothing would be compared"):
        conditions(Policy(), HERE, tmp_path / "b.json")


def test_a_baseline_without_rules_has_the_usual_ones_and_another_task_fails(plain, made, tmp_path):
    report_of, _ = made
    file = tmp_path / "b.json"
    file.write_text(plain.to_json())
    assert BaselinePolicy().tolerance == 0.05
    other = plain.model_copy(update={"task": report_of(of="add:8").task})
    assert failed({}, other, file) == ["the baseline is of the task add:7, the model of add:8"]
    outcomes = evaluate(conditions(Policy(), HERE, file), plain)
    assert [o.id for o in outcomes] == ["baseline: comparable", "baseline: trig_logits", "baseline: memorisation"]
    assert [o.sentence for o in outcomes][1] == "trig_logits: as in the baseline"


def test_what_is_loaded_is_what_the_policy_says_and_over_it_what_is_given():
    policy = Policy(task="add:7", train_indices="t.json", arch={"attn_coeff": 0.5})
    folder = Path("there")
    own = {"task": "add:7", "train_indices": folder / "t.json", "arch": {"attn_coeff": "0.5"}}
    assert loading(policy, folder) == own
    assert loading(policy, folder, task="sub:7", loader=None) == own | {"task": "sub:7"}
    split = loading(policy, folder, train_split="0.4:1")
    assert split == {"task": "add:7", "arch": {"attn_coeff": "0.5"}, "train_split": "0.4:1"}
    assert loading(Policy(train_split="0.5:1"), folder, train_indices="x") == {"train_indices": "x"}
    assert loading(Policy(), folder) == {}


@pytest.mark.parametrize(("theirs", "holds"), [(0.99, True), (0.941, False), (None, True)])
def test_an_accuracy_holds_under_every_reading_that_nothing_tells_apart(made, theirs, holds):
    """A file with a leak of 0.2 in its ReLU answered 99.7% as squares, which was no figure of the network."""
    report = made[0](accuracy={"all": 0.997})
    other = BySplit(all=theirs, train=None, test=None)
    report = report.model_copy(update={"alternatives": [Alternative(reading="--arch act_fn=relu", accuracy=other)]})
    found = failed({"accuracy": {"all": 0.99}}, report)
    assert bool(found) != holds
    if found:
        assert found[0].startswith("accuracy.all is 0.997, and 0.941 under --arch act_fn=relu")
