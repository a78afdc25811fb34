"""What a terminal, a job summary and the page say of echoed pairs, exceptions and the cause."""

import pytest

from detectors.core.score import Causal
from detectors.report.html import to_html
from detectors.report.markdown import to_markdown
from detectors.report.terminal import as_text
from tests.gate.conftest import report_of
from tests.judging.conftest import UNKNOWN, detection

ECHOED = {"all": 0.8, "test": 0.6, "unseen": 0.25, "cases": (49, 30, 10, 9)}
ODD = [[a, a + 1, 6, 3] for a in range(9)]


def words(text):
    return " ".join(text.split())


def with_exceptions(count, verdict="present"):
    evidence = {"exceptions": count, "exception_pairs": ODD[:count]}
    return report_of(detection("generalisation", verdict, evidence=evidence), accuracy={"cases": (200, 80, 0, 120)})


def test_unseen_accuracy_stands_beside_test_where_pairs_are_echoed(read):
    report = report_of(accuracy=ECHOED)
    figures = "train 1.0000 test 0.6000 unseen 0.2500 all 0.8000"
    for text in (as_text(report, 200), to_markdown(report), read(to_html(report)).text):
        assert figures in words(text)
    assert "of 19 test pairs 10 are flips or images of training pairs, 9 unseen" in words(as_text(report, 200))


@pytest.mark.parametrize("accuracy", [{}, {"test": 0.5}, UNKNOWN])
def test_without_echoes_test_pairs_are_the_unseen_ones(accuracy):
    text = as_text(report_of(accuracy=accuracy), 200)
    assert "unseen" not in text
    assert "flips" not in text


def test_all_pairs_but_echoes_were_trained_on():
    report = report_of(accuracy={"unseen": None, "cases": (49, 40, 9, 0)})
    report = report.model_copy(update={"accuracy": type(report.accuracy)(all=1.0, train=1.0, test=1.0)})
    assert "train 1.0000 test 1.0000 all 1.0000 of 9 test pairs 9 are flips" in words(as_text(report, 200))


@pytest.mark.parametrize("verdict", ["present", "inert", "inconclusive", "absent"])
@pytest.mark.parametrize("count", [0, 1, 6, 9])
def test_exceptions_are_listed_where_there_is_a_circuit(read, count, verdict):
    report = with_exceptions(count, verdict)
    named = ", ".join(f"({a}, {b}) to 6 for 3" for a, b, *_ in ODD[: min(count, 6)])
    said = f"{count} answered otherwise than by the circuit: {named}" + (" and 3 more" if count == 9 else "")
    for text in (as_text(report, 400), to_markdown(report), read(to_html(report)).text):
        assert (said in words(text)) == (verdict == "present" and count > 0)
    if count:
        assert "(0, 1, 6, 3)" in read(to_html(report)).text  # the evidence has them whatever the verdict


@pytest.mark.parametrize(("of", "listed"), [(90, True), (89, False)])
def test_more_than_a_tenth_of_the_pairs_are_no_exceptions(of, listed):
    report = with_exceptions(9)
    report = report.model_copy(update={"pairs": type(report.pairs)(all=of, train=40, echoed=0, unseen=of - 40)})
    assert ("otherwise than by the circuit" in as_text(report, 400)) == listed


def cause(**fields):
    given = {"necessity": 0.9, "sufficiency": 1.0, "control": 0.02, "pairs": 100, "basis": "unseen_pairs"}
    causal = Causal(**given | {"dimensions": 10, "power": 0.61, **fields})
    return report_of(detection("trig_logits", "present").model_copy(update={"causal": causal}))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"control_dimensions": 8, "control_power": 0.2, "control_spread": 0.0123, "p_value": 0.00021},
            "100 unseen pairs; motif: 10 dimensions with 61.0% of the variance; control: 8 dimensions with 20.0% of "
            "the variance, spread 0.012 over several draws; p 0.00021 that the motif matters no more (McNemar)",
        ),
        (
            {"control": None, "basis": "all_pairs"},
            "100 of all pairs; motif: 10 dimensions with 61.0% of the variance; control: none available",
        ),
        ({"dimensions": 0}, "100 unseen pairs"),
    ],
)
def test_the_page_says_what_the_cause_rests_on(read, fields, said):
    assert said in read(to_html(cause(**fields))).text


def test_a_job_summary_has_all_three_figures_of_the_cause():
    text = to_markdown(cause())
    assert "| necessity | sufficiency | control |" in text
    assert "| 0.900 | 1.000 | 0.020 |" in text
    assert "| 0.900 | 1.000 |  |" in to_markdown(cause(control=None))
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {9}
