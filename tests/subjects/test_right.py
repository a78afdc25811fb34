"""A right answer leads every other by more than rounding."""

import pytest
import torch

from detectors.subjects.right import answered, still_answered


@pytest.mark.parametrize(
    ("row", "answer", "right"),
    [
        ([1.0, 0.0, 0.0], 0, True),
        ([1.0, 0.0, 0.0], 1, False),
        ([0.0, 0.0, 0.0], 0, False),  # a tie, wherever the answer is numbered
        ([1.0, 1.0, 0.0], 1, False),
        ([-1.0, -2.0, -3.0], 0, True),
        ([1.0, 1.0 - 2e-6, 0.0], 0, True),
        ([1.0, 1.0 - 3e-7, 0.0], 0, False),
        ([1.0, 1.0 - 2e-6, -10.0], 0, False),  # of the largest logit, whatever its sign
        ([-10.0, -10.0 - 1e-4, -11.0], 0, True),
    ],
)
def test_what_is_an_answer(row, answer, right):
    logits = torch.tensor([row], dtype=torch.float64)
    assert answered(logits, torch.tensor([answer])).tolist() == [right]


def test_every_row_has_its_own_scale():
    logits = torch.tensor([[1.0, 0.999], [1e6, 1e6 - 0.5], [1e6, 1e6 - 2.0]], dtype=torch.float64)
    assert answered(logits, torch.zeros(3, dtype=torch.long)).tolist() == [True, False, True]


def test_what_an_edit_leaves_is_measured_against_what_there_was():
    left = torch.tensor([[1e-7, 0.0]], dtype=torch.float64)
    answer = torch.tensor([0])
    assert answered(left, answer).tolist() == [True]
    assert answered(left, answer, of=torch.tensor([[0.3, -1.0, 0.2]], dtype=torch.float64)).tolist() == [False]
    assert answered(left, answer, of=torch.tensor([[0.05, 0.0]], dtype=torch.float64)).tolist() == [True]


def test_edits_may_rule_answers_out():
    logits = torch.tensor([[1.0, -torch.inf, 0.0]], dtype=torch.float64)
    whole = torch.ones(1, 3, dtype=torch.float64)
    assert answered(logits, torch.tensor([0]), of=whole).tolist() == [True]
    assert answered(logits, torch.tensor([1]), of=whole).tolist() == [False]


@pytest.mark.parametrize(
    ("left", "still"), [(1.0, True), (0.101, True), (0.099, False), (0.0024, False), (-0.5, False)]
)
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_an_answer_survives_with_a_tenth_of_its_own_margin(left, still, scale):
    """The margin is that over the strongest other answer, before and after, whichever that is."""
    before = scale * torch.tensor([[5.0, 3.0, 0.0], [9.0, 0.0, 0.0]], dtype=torch.float64)
    edited = scale * torch.tensor([[7.0 + 2 * left, 0.0, 7.0], [9.0, 0.0, 0.0]], dtype=torch.float64)
    assert still_answered(edited, torch.tensor([0, 0]), before).tolist() == [still, True]


def test_an_answer_that_was_wrong_is_not_still_right():
    before, answer = torch.tensor([[0.0, 9.0]], dtype=torch.float64), torch.tensor([0])
    assert still_answered(torch.tensor([[-1.0, 0.0]], dtype=torch.float64), answer, before).tolist() == [False]


def test_an_answer_that_is_masked_out_says_nothing_of_the_size_of_the_others():
    """The median does where both rivals are near zero."""
    place = torch.tensor([0])
    near = torch.tensor([[1.0, 0.0, -1e9, -4.0, -4.0, -5.0]], dtype=torch.float64)
    for lead, right in ((1.0, True), (5e-6, True), (3e-6, False)):
        near[0, 0] = lead
        assert answered(near, place).tolist() == [right]
        assert answered(near[:, :3], place).tolist() == [True]  # whose median is nothing
