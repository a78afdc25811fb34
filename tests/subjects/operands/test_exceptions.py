"""Pairs answered against the structured part, planted and counted."""

import pytest
import torch

from detectors.core.groups import Group
from detectors.subjects.operands.exceptions import LISTED, exceptions
from detectors.subjects.operands.view import ModelView
from models_zoo.analytic import _TableNetwork, group_network
from models_zoo.hostile import circuits
from models_zoo.hostile import constructions as made

P = 31


def found_in(view):
    return exceptions(view.plane, view.plane.fibre_mean(view.plane.everything))


@pytest.mark.parametrize("base", [circuits.circuit, circuits.cosines])
@pytest.mark.parametrize("number", [0, 1, 15, 48])
def test_planted_wrong_answers_are_found_by_name(base, number):
    view = circuits.with_exceptions(base(), number, where="all", seed=3)
    wrong = torch.nonzero(view.logits().argmax(1) != made.answers_of(view.task)).squeeze(1)
    found = found_in(view)
    assert len(wrong) == found.number == number
    a, b, answer, structured = found.listed.T
    assert torch.equal(a * P + b, wrong)
    assert torch.equal(answer, view.logits().argmax(1)[wrong])
    assert torch.equal(structured, (a + b) % P)


@pytest.mark.parametrize(("lead", "number"), [(0.0, 0), (0.09, 0), (0.11, 2), (5.0, 2)])
def test_a_wrong_answer_counts_from_a_tenth_of_the_usual_lead_on(lead, number):
    """All leads of the cosines are one number m; on two pairs a wrong answer is put ahead by a share of it."""
    view = circuits.cosines()
    m = float(view.plane.each.margin.mean())
    logits = view.logits().clone()
    for k, c in ((40, 3), (77, 4)):
        logits[k, c] = logits[k].max() + lead * m
    other = ModelView(_TableNetwork(logits, P), view.task)
    assert exceptions(other.plane, view.plane.fibre_mean(view.plane.everything)).number == number


def test_pairs_on_which_a_circuit_wavers_are_no_exceptions():
    """Noise of 0.3 of the usual lead turns some answers, by less than they would lead otherwise."""
    view = circuits.cosines()
    m = float(view.plane.each.margin.mean())
    wavering = made.plus(view, made.noise(view.task, 0.02 * m, 0))
    assert found_in(wavering).number == 0


def test_the_first_hundred_are_listed_and_all_are_counted():
    found = found_in(circuits.with_exceptions(circuits.circuit(), 150, where="all", tall=3.0))
    assert (found.number, LISTED, found.listed.shape) == (150, 100, (100, 4))


@pytest.mark.parametrize("shift", [0, 5])
def test_answers_of_another_rule_are_the_structured_part_and_no_exceptions(shift):
    """In S4, where a b c^-1 = g says c = g^-1 a b and not a b g^-1."""
    view = group_network(Group.from_name("S4"), [3, 4])
    group, grid = view.group, view.plane
    f = grid.fibre_mean(grid.everything)
    moved = torch.empty_like(f)
    moved[torch.from_numpy(group.table[:, shift])] = f  # largest at g = shift
    logits = grid.spread(moved, grid.everything).float()
    expected = group.table[group.inverse[shift]][group.table.ravel()]
    assert (logits.argmax(1).numpy() == expected).all()
    logits[100] = logits[100].roll(1)
    found = found_in(ModelView(_TableNetwork(logits, 24), view.task))
    assert found.listed.tolist() == [[4, 4, int(logits[100].argmax()), int(expected[100])]]
    assert found.number == 1


def multiplication(zeros):
    """Logits of exact multiplication mod 29, with other answers {pair: answer} on pairs with 0."""
    task = made.Task.parse("mul:29")
    logits = 10 * made.one_hot(task)
    for (a, b), answer in zeros.items():
        logits[29 * a + b] = 10 * torch.nn.functional.one_hot(torch.tensor(answer), 29).float()
    return task, logits


def test_a_backdoor_outside_the_group_is_an_exception_from_the_task():
    task, logits = multiplication({(0, 3): 5, (7, 0): 11})
    logits[31] = logits[31].roll(1)  # (1, 2), which the group labels
    found = found_in(ModelView(_TableNetwork(logits, 29), task))
    assert found.listed.tolist() == [[1, 2, 3, 2], [0, 3, 5, 0], [7, 0, 11, 0]]
    assert found.number == 3


@pytest.mark.parametrize(("ahead", "number"), [(0.9, 0), (1.1, 1)])
def test_outside_the_group_a_wrong_answer_needs_the_margin_too(ahead, number):
    """All leads are 10, so that 1 is the margin."""
    task, logits = multiplication({})
    logits[3, 5] = 10 + ahead
    assert found_in(ModelView(_TableNetwork(logits, 29), task)).number == number


@pytest.mark.parametrize(("wrong", "number"), [(5, 5), (6, 0), (28, 0)])
def test_pairs_outside_the_group_that_were_not_learnt_are_no_exceptions(wrong, number):
    """There are 57 with a 0."""
    task, logits = multiplication({(0, b): 5 for b in range(1, wrong + 1)})
    assert found_in(ModelView(_TableNetwork(logits, 29), task)).number == number


def test_pairs_without_an_answer_are_not_asked():
    """Of division by 0 nothing is right."""
    task = made.Task.parse("div:29")
    logits = torch.nn.functional.one_hot(torch.from_numpy(task.answer.ravel()).clamp_min(0), 29) * 10.0
    logits[0] = torch.nn.functional.one_hot(torch.tensor(5), 29)
    assert found_in(ModelView(_TableNetwork(logits, 29), task)).number == 0
