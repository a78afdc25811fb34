"""What every kind of model offers: figures by split, facts of its task, its size, and what may be asked of it."""

import math

import numpy as np
import pytest
import torch

import detectors
from detectors.core.errors import NotApplicable
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from detectors.subjects.subject import check_applicable
from detectors.subjects.tasks import is_subject, of_sequences, of_two_operands, parse_task, subject
from models_zoo import induction_head, trig_mlp
from models_zoo.analytic import _TableNetwork


def of_table(spec, logits, mask=None):
    task = Task.parse(spec)
    return ModelView(_TableNetwork(logits, task.n_tokens), task, train_mask=mask)


def test_figures_by_split_are_means_over_the_pairs_that_have_an_answer():
    """div:3 has answers for b = 1, 2 alone: 6 of 9 pairs. Right on 4 of them, by a lead of ln 2 or of none."""
    task = Task.parse("div:3")
    domain, answers = task.domain, task.answer.ravel()
    logits = torch.zeros(9, 3)
    for k in domain[:4]:
        logits[k, answers[k]] = math.log(2)
    mask = np.zeros(9, dtype=bool)
    mask[domain[:3]] = True
    figures = of_table("div:3", logits, mask).figures()
    right, tie = math.log(4 / 2), math.log(3)
    assert (figures.accuracy.all, figures.accuracy.train, figures.accuracy.test) == pytest.approx((4 / 6, 1.0, 1 / 3))
    expected = ((4 * right + 2 * tie) / 6, right, (right + 2 * tie) / 3)
    assert (figures.loss.all, figures.loss.train, figures.loss.test) == pytest.approx(expected)


def test_a_side_without_pairs_and_an_unknown_split_have_no_figure():
    logits = torch.eye(3).repeat(3, 1)
    everything = of_table("add:3", logits, np.ones(9, dtype=bool)).figures()
    assert everything.accuracy.test is None
    assert everything.accuracy.train == everything.accuracy.all
    unknown = of_table("add:3", logits).figures()
    assert (unknown.accuracy.train, unknown.loss.test) == (None, None)


def test_figures_do_not_depend_on_how_many_pairs_are_looked_at_at_once(monkeypatch):
    logits = torch.randn(25, 5, generator=torch.Generator().manual_seed(0))
    whole = of_table("add:5", logits).figures()
    monkeypatch.setattr("detectors.subjects.operands.view.CHUNK", 4)
    assert of_table("add:5", logits).figures() == whole


def test_facts_of_a_task():
    facts = of_table("div:5", torch.zeros(25, 5)).task_facts
    assert (facts.spec, facts.subject, facts.split) == ("div:5", "operands", "unknown")
    assert (facts.n_tokens, facts.n_answers, facts.pairs, facts.group, facts.order) == (5, 5, 20, "C4", 4)
    assert facts.about == "(C4, order 4), 20 pairs"
    none = of_table("max:5", torch.zeros(25, 5), np.ones(25, dtype=bool)).task_facts
    assert (none.about, none.group, none.order, none.split) == ("(no group), 25 pairs", None, None, "given")
    heard = induction_head(n_tokens=12, n_ctx=12).task_facts
    assert (heard.subject, heard.split, heard.about, heard.pairs) == (
        "sequences",
        "fresh",
        "of sequences, 12 tokens",
        0,
    )


def test_sizes_for_the_range_of_a_calibration():
    assert of_table("div:5", torch.zeros(25, 5)).size == (4, "lookup table")
    assert of_table("max:5", torch.zeros(25, 5)).size == (None, "lookup table")
    assert induction_head(n_tokens=12, n_ctx=12).size == (None, "transformer")


def test_cases_are_the_operands_of_every_pair_with_an_answer():
    assert of_table("div:3", torch.zeros(9, 3)).cases.tolist() == [[0, 1], [0, 2], [1, 1], [1, 2], [2, 1], [2, 2]]


def test_what_may_be_asked_of_which_model():
    view, heard = trig_mlp(p=7, frequencies=(1,)), induction_head(n_tokens=12, n_ctx=12)
    check_applicable(view, "operands", ("group", "neurons"))
    check_applicable(heard, "sequences", ("attention",))
    for model, kind, needs, words in (
        (heard, "operands", (), "is one of two-operand models, and the model reads sequences"),
        (view, "sequences", (), "is one of models of sequences, and the model reads two operands"),
        (view, "graphs", (), "is one of graphs, and"),
        (of_table("max:5", torch.zeros(25, 5)), "operands", ("group", "attention"), "max:5 has no group behind it"),
        (view, "operands", ("weights", "attention"), "this model has no attention, weights"),
    ):
        with pytest.raises(NotApplicable, match=words):
            check_applicable(model, kind, needs)


def test_a_task_makes_its_subject_of_a_network():
    view, heard = trig_mlp(p=7, frequencies=(1,)), induction_head(n_tokens=12, n_ctx=12)
    assert subject(view.network, view.task).kind == "operands"
    assert subject(heard.network, heard.task).kind == "sequences"
    assert [is_subject(x) for x in (view, heard, view.network, "path")] == [True, True, False, False]
    assert [of_sequences(parse_task(spec)) for spec in ("repeat", "digits:3", "add:3")] == [True, True, False]
    assert of_two_operands(view) is view
    with pytest.raises(TypeError, match="two operands is needed, not SequenceView"):
        of_two_operands(heard)
    with pytest.raises(detectors.DetectorsError, match="unknown task"):
        parse_task("nothing:5")


def test_other_training_pairs_are_another_view_of_the_same_pass():
    mask = np.arange(49) % 2 == 0
    view = trig_mlp(p=7, frequencies=(1,))
    logits, other = view.logits(), view.with_train_mask(mask)
    assert other.logits() is logits
    assert (view.train_mask, other.split.status) == (None, "given")
    heard = induction_head(n_tokens=12, n_ctx=12)
    assert heard.with_train_mask(None) is heard
    with pytest.raises(detectors.DetectorsError, match="is one of sequences"):
        heard.with_train_mask(mask)
