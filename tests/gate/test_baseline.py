"""What changed, and which of it is for the worse: by the news that a motif is."""

import json
import os

import pytest

from detectors.core.verdict import Verdict
from detectors.gate.baseline import BaselineError, changes, read_report


def differing(plain, name, **fields):
    return plain.model_copy(
        update={"detections": [d.model_copy(update=fields if d.detector == name else {}) for d in plain]}
    )


@pytest.mark.parametrize(
    ("name", "fields", "kind", "worse", "by"),
    [
        ("trig_logits", {"score": 0.5}, "score", True, 0.1),
        ("trig_logits", {"score": 0.7}, "score", False, 0.0),
        ("memorisation", {"score": 0.2}, "score", True, 0.1),
        ("memorisation", {"score": 0.0}, "score", False, 0.0),
        ("trig_logits", {"verdict": Verdict.INERT}, "verdict", True, 0.0),
        ("trig_logits", {"verdict": Verdict.ERROR}, "verdict", True, 0.0),
        ("memorisation", {"verdict": Verdict.PRESENT}, "verdict", True, 0.0),
        ("memorisation", {"verdict": Verdict.INCONCLUSIVE}, "verdict", True, 0.0),
        ("trig_logits", {"version": 9}, "version", None, 0.0),
        ("trig_logits", {"version": 0}, "version", None, 0.0),  # the baseline may be of a later release
        ("trig_logits", {"threshold": 0.2}, "threshold", None, 0.0),
        ("trig_logits", {"threshold": 0.05}, "threshold", None, 0.0),
        ("trig_logits", {"evidence": {"key_irreps": ["freq_3"]}}, "key_irreps", None, 0.0),
    ],
)
def test_one_change_and_its_direction(plain, name, fields, kind, worse, by):
    (change,) = changes(plain, differing(plain, name, **fields))
    assert (change.detector, change.kind, change.worse) == (name, kind, worse)
    assert change.by == pytest.approx(by)


def test_better_is_the_other_way_round(plain):
    before = differing(plain, "memorisation", verdict=Verdict.PRESENT)
    (change,) = changes(before, plain)
    assert (change.worse, str(change)) == (False, "memorisation: verdict was present, is absent")


@pytest.mark.parametrize("unsettled", [Verdict.INCONCLUSIVE, Verdict.NOT_APPLICABLE, Verdict.ERROR])
@pytest.mark.parametrize(("name", "found"), [("memorisation", Verdict.PRESENT), ("trig_logits", Verdict.ABSENT)])
def test_what_was_open_and_is_bad_news_now_is_worse(plain, unsettled, name, found):
    """It is known better, and a release is no better for it."""
    before, after = (differing(plain, name, verdict=verdict) for verdict in (unsettled, found))
    assert [change.worse for change in changes(before, after)] == [True]


@pytest.mark.parametrize(("name", "found"), [("memorisation", Verdict.ABSENT), ("trig_logits", Verdict.PRESENT)])
def test_what_was_open_and_is_good_news_now_is_no_worse(plain, name, found):
    before, after = (differing(plain, name, verdict=verdict) for verdict in (Verdict.INCONCLUSIVE, found))
    assert [change.worse for change in changes(before, after)] == [False]


def test_nothing_changed_but_the_order_of_the_key_irreps(plain):
    turned = differing(plain, "trig_logits", evidence={"key_irreps": ["freq_5", "freq_3"]})
    assert changes(plain, plain) == changes(plain, turned) == []
    none = differing(plain, "trig_logits", evidence={})
    assert changes(plain, none)[0].after == "none"
    assert str(changes(plain, none)[0]) == "trig_logits: key irreps was freq_3 freq_5, is none"


def test_a_detector_that_was_not_run_is_worse_and_one_more_is_none(plain):
    less = plain.model_copy(update={"detections": plain.detections[:1]})
    (change,) = changes(plain, less)
    assert (change.detector, change.kind, change.after, change.worse) == ("memorisation", "missing", "not run", True)
    assert changes(less, plain) == []


def test_scores_that_are_not_there_are_no_change(plain):
    without = differing(plain, "trig_logits", score=None)
    assert changes(plain, without) == changes(without, plain) == []


def test_files(plain, tmp_path):
    file = tmp_path / "b.json"
    file.write_text(plain.to_json())
    assert read_report(file) == plain
    os.mkfifo(tmp_path / "fifo")
    for no_file in ("/dev/zero", tmp_path / "fifo"):
        with pytest.raises(BaselineError, match="is not a plain file"):
            read_report(no_file)
    for text, words in (
        ("[" * 100_000, "is not the JSON report"),
        ("[]", "is not the JSON report"),
        ("{}", "tool: Field required"),
        ("{", "is not the JSON report"),
    ):
        file.write_text(text)
        with pytest.raises(BaselineError, match=words):
            read_report(file)
    with pytest.raises(BaselineError, match=r"no report .*; here writes one"):
        read_report(tmp_path / "none.json", "here")
    with pytest.raises(BaselineError, match="cannot be read"):
        read_report(tmp_path)


def test_a_report_of_an_earlier_schema_is_not_compared(plain, tmp_path):
    document = plain.to_dict() | {"schema": 1}
    document.pop("pairs")
    (tmp_path / "old.json").write_text(json.dumps(document))
    with pytest.raises(BaselineError, match=r"of schema 1 of another version .*: this gate with --update-baseline"):
        read_report(tmp_path / "old.json", "this gate with --update-baseline")


def test_a_report_that_does_not_say_its_schema_is_not_compared(plain, tmp_path):
    said = json.loads(plain.to_json())
    del said["schema"]
    (tmp_path / "b.json").write_text(json.dumps(said))
    with pytest.raises(BaselineError, match="does not say of which schema it is"):
        read_report(tmp_path / "b.json")
