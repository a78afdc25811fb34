"""Rows of words as a subject: a report without accuracies, and which words are single tokens."""

import json

import numpy as np
import pytest

import detectors
import models_zoo
from detectors.core.errors import CheckpointError
from detectors.report.markdown import to_markdown
from detectors.report.report import Report
from detectors.subjects.subject import Checkpoint
from detectors.subjects.words.names import MONTHS, WEEKDAYS
from detectors.subjects.words.view import single_tokens


class Tokenizer:
    """Knows some pieces; others fall into characters, or are unknown."""

    unk_token_id = 0

    def __init__(self, *pieces):
        self.pieces = {piece: i for i, piece in enumerate(pieces, start=1)}

    def encode(self, text, add_special_tokens):
        assert not add_special_tokens
        return [self.pieces[text]] if text in self.pieces else [self.pieces.get(c, 0) for c in text]


def test_a_word_is_one_token_with_a_space_before_it_or_without():
    assert single_tokens(Tokenizer(" a1", " b1", "a1"), 9, ["a1", "b1"]) == [1, 2]
    assert single_tokens(Tokenizer("1", "2", " 1"), 9, ["1", "2"]) == [1, 2]


def test_what_is_unknown_shared_or_in_pieces_is_none():
    assert single_tokens(Tokenizer("1"), 9, ["1", "?", "12"]) == [1, None, None]
    same = Tokenizer("1")
    same.pieces["one"] = 1
    assert single_tokens(same, 9, ["1", "one"]) == [None, None]
    assert single_tokens(None, 9, ["1"]) == [None]
    assert single_tokens(Tokenizer("1", "2"), 2, ["1", "2"]) == [1, None]  # no row of the table


def test_a_report_of_rows_has_no_accuracy():
    report = detectors.run(models_zoo.concept_rows("circle"))
    assert (report.accuracy.all, report.loss.all) == (None, None)
    assert {d.detector for d in report} == {"number_helix", "cyclic_concepts"}
    assert (
        report.summary
        == "Rows of words, of which nothing is asked; weekdays (embedding) and months (embedding) in a circle."
    )
    again = Report.model_validate_json(report.to_json())
    assert again.to_json() == report.to_json()
    assert json.loads(report.to_json())["accuracy"]["all"] is None
    assert "accuracy" not in to_markdown(report)
    assert "Weekdays, embedding" in report.to_html()


def test_rows_that_are_all_alike_hold_nothing():
    """And nothing of them is no number."""
    names = [*map(str, range(100)), *WEEKDAYS, *MONTHS]
    for row in (np.ones(3), np.zeros(3)):
        report = detectors.run(detectors.RowsView(dict.fromkeys(names, row)))
        assert [str(d.verdict) for d in report] == ["absent", "absent"]
        assert "null" not in json.dumps([d.evidence for d in report])
        assert "-0.000" not in report["cyclic_concepts"].reason


def test_other_motifs_say_what_is_missing():
    report = detectors.run(models_zoo.number_rows("helix"), names=["induction_heads", "trig_logits", "number_helix"])
    assert [str(d.verdict) for d in report] == ["not_applicable", "not_applicable", "present"]
    assert "reads rows of words" in report["induction_heads"].reason
    network = detectors.load("zoo:add53_grokked")
    assert detectors.run(network, names=["number_helix"])["number_helix"].verdict == "not_applicable"


def test_rows_are_finite_and_of_one_size():
    with pytest.raises(ValueError, match="finite"):
        detectors.RowsView({"a": np.array([1.0, np.nan])})
    with pytest.raises(ValueError, match="all of one size"):
        detectors.RowsView({"a": np.ones(2), "b": np.ones(3)})
    broken = detectors.RowsView.reading(
        lambda words: [0] * len(words),
        lambda tokens: {"embedding": detectors.RowsView({"a": np.ones(2)}).rows([0])["embedding"] / 0},
        (1, 2),
        Checkpoint(),
    )
    with pytest.raises(CheckpointError, match="NaN or infinite"):
        broken.rows([0])
