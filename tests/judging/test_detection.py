"""One line of a report: what can be restored of it, and that somebody else's code does it no harm."""

from dataclasses import replace

import pytest

from detectors.core import registry
from detectors.core.picture import Bars
from detectors.core.registry import load, spec_of
from detectors.core.verdict import Verdict
from detectors.judging import detection as module
from detectors.judging.detection import Detection


def test_the_score_is_restored_from_the_evidence(made):
    make, *_ = made
    found = make("memorisation", "present", score=0.35)
    assert (found.scored.value, found.scored.phase) == (0.35, "cleanup")
    assert found.scored.null == found.null
    assert found.clause == "of the margin by which its training pairs are answered 35% is looked up (M 0.35)"
    for unlike in (make("memorisation", "present", score=None), make("sparse_fourier_embedding", "present")):
        assert unlike.scored is None  # no score, or evidence of another make
        assert (unlike.clause, unlike.pictures) == ("", [])


def test_a_detector_that_is_not_installed_is_a_line_all_the_same(made):
    make, *_ = made
    found = make("trig_logits", "present", evidence={"key_irreps": ["a"]}).model_copy(update={"detector": "gone"})
    assert (found.spec, found.scored, found.chosen, found.clause, found.pictures) == (None, None, ["a"], "", [])


def test_what_was_chosen(made):
    make, *_ = made
    assert make("trig_logits", "present").chosen == ["freq_3", "freq_5"]
    assert make("trig_logits", "present", evidence={"key_irreps": None}).chosen == []
    assert make("generalisation", "present").chosen == []


def test_only_what_is_present_has_a_clause_and_only_what_is_settled_a_picture(made):
    make, *_ = made
    for verdict in Verdict:
        found = make("trig_logits", verdict)
        assert bool(found.clause) == (verdict is Verdict.PRESENT)
        assert bool(found.pictures) == verdict.settled
    (picture,) = make("trig_logits", "inert").pictures
    assert isinstance(picture.data, Bars)


@pytest.mark.parametrize("what", ["clause", "pictures"])
def test_a_clause_or_picture_that_crashes_takes_nothing_down(made, monkeypatch, what):
    make, *_ = made

    def crash(score):
        raise RuntimeError("of somebody else's")

    function = load("trig_logits")
    monkeypatch.setattr(function, "__detector__", replace(spec_of(function), clause=crash))
    monkeypatch.setattr(module, "picture_of", lambda function: crash)
    assert not getattr(make("trig_logits", "present"), what)


def test_equal_documents_are_equal_detections(made):
    make, *_ = made
    one, other = make("trig_logits", "present"), make("trig_logits", "present")
    one._scored = one.scored
    assert one == other
    assert one != make("trig_logits", "absent")
    assert one != "trig_logits"


def test_figures_for_systems_that_show_names_and_values(made):
    make, *_ = made
    found = make("trig_logits", "present", threshold=0.1, p_value=0.05)
    assert found.figures == {"verdict": "present", "score": 0.35, "threshold": 0.1, "p_value": 0.05}
    assert type(found.figures["verdict"]) is str


@pytest.mark.parametrize(
    ("field", "value"), [("score", 1.01), ("score", -0.01), ("p_value", 2.0), ("p_adjusted", -1.0)]
)
def test_shares_outside_their_range_are_refused(made, field, value):
    make, *_ = made
    with pytest.raises(ValueError, match=field):
        Detection.model_validate(make("trig_logits", "present").model_dump() | {field: value})
    with pytest.raises(ValueError, match="not permitted"):
        Detection.model_validate(make("trig_logits", "present").model_dump() | {"more": 1})


def test_the_registry_is_asked_each_time(made, monkeypatch):
    make, *_ = made
    found = make("trig_logits", "present")
    monkeypatch.setattr(registry, "load", lambda name: 1 / 0)
    assert found.spec is None
