"""The section of a page that shows the model as a program."""

from dataclasses import replace

import pytest

import detectors
from detectors.report.html import to_html
from tests.report.conftest import NASTY


@pytest.fixture(scope="module")
def program(grokked):
    return detectors.program_of(grokked, draws=2)


def test_the_page_shows_figures_by_number_of_terms_and_the_text(report, program, read):
    page = read(to_html(report, program))
    null, own = page.figures["program-1-data"]["data"]
    assert own["y"] == [f.explained for f in program.by_terms]
    assert null["y"] == [max(0.0, *(draw[k].explained for draw in program.null_by_terms)) for k in range(len(own["y"]))]
    assert all(f"{100 * f.explained:.1f}%" in page.text for f in program.by_terms)
    assert program.source.strip() in page.text


def test_without_a_program_there_is_no_section(report, text, read):
    assert "program-1-data" not in read(text).figures
    assert to_html(report) == text


def test_what_a_program_holds_is_no_markup(report, program, read):
    nasty = replace(program, source=NASTY, irreps=(NASTY, *program.irreps[1:]))
    text = to_html(report, nasty)
    page = read(text)
    assert text.count("<script") == len(page.figures) + 2
    assert "<img" not in text.split("<script>/**")[0]
    assert "{{ 7*7 }}" in page.text
