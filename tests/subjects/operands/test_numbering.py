"""What wrong answers say of how the task was asked."""

import numpy as np
import pytest
import torch

from detectors.subjects.operands.numbering import symptom
from detectors.subjects.operands.task import Task
from detectors.subjects.operands.view import ModelView
from models_zoo.analytic import _TableNetwork


def answering(task: Task, answer: np.ndarray) -> ModelView:
    logits = torch.nn.functional.one_hot(torch.from_numpy(answer.ravel()), task.n_answers).float()
    return ModelView(_TableNetwork(logits, task.n_tokens), task)


@pytest.mark.parametrize(("as_asked", "said"), [(0.0, True), (0.25, True), (0.4, False)])
def test_operands_the_other_way_round_are_far_better_by_a_difference(as_asked, said):
    """a - b mod 31, of the pairs so many answered as asked and the rest as b - a: by 0.3 of the pairs or not."""
    task = Task.parse("sub:31")
    asked = np.random.default_rng(0).permutation(31 * 31).reshape(31, 31) < as_asked * 31 * 31
    found = symptom(answering(task, np.where(asked, task.answer, task.answer.T)))
    assert ("the order of the operands is likely the other one" in found) == said
