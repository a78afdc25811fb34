"""The page of `detectors explain`: its sections, and that nothing of a file reaches the terminal as it is."""

import pytest

import detectors
from detectors.report.explained import SECTIONS, as_page, of_report
from models_zoo import trig_mlp


@pytest.fixture(scope="module")
def report():
    return detectors.run(trig_mlp(p=11, frequencies=(3,), train_fraction=0.5))


def test_the_page_names_the_algorithm_and_every_motif_that_was_asked(report):
    text, found = as_page(report), of_report(report)
    assert f"Algorithm: {found.algorithm}" in text
    told = {c.motif for _, key in SECTIONS for c in getattr(found, key)}
    assert told == {d.detector for d in report if d.verdict != "not_applicable"}
    for motif in told:
        assert motif in text
    assert report.summary.split(";")[0][:60] in " ".join(text.split())


def test_it_is_plain_data(report):
    assert of_report(report).model_dump(mode="json")["algorithm"]


def test_names_from_files_are_made_visible(report):
    info = report.checkpoint.model_copy(update={"path": "evil\x1b[2Jname\n::error::x"})
    text = as_page(report.model_copy(update={"checkpoint": info}))
    assert "\x1b" not in text
    assert not any(line.startswith("::") for line in text.splitlines())
