"""Wrong answers with a system: the operands in the other order, or the elements of the group in another numbering."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int

from detectors.subjects.operands.inference import infer_task
from detectors.subjects.operands.once import once
from detectors.subjects.operands.view import ModelView

POOR, FAR = 0.9, 0.3  # of the pairs: below, the task is doubted; by so much more another one is far better
LATIN = 0.85  # distinct answers in a row; of a map at random 1 - 1/e


@once
def symptom(view: ModelView) -> str:
    """What the predictions say of the order of the operands or of the numbering; empty where they say nothing.

    >>> import models_zoo
    >>> symptom(models_zoo.trig_mlp(p=11, frequencies=(1, 3)))
    ''
    """
    task, n = view.task, view.task.n_tokens
    predicted = view.logits().argmax(1).reshape(n, n).numpy()
    asked = task.answer >= 0
    right = float((predicted == task.answer)[asked].mean())
    if right >= POOR:
        return ""
    turned = float((task.answer == predicted.T)[asked].mean())
    if turned > right + FAR:
        return (
            f"as the operands are read {right:.1%} of the pairs are right, and read as b, a {turned:.1%} would be: "
            'the order of the operands is likely the other one. Pass --tokens "b a" (with = and the operator where '
            "they stand), or the task the other way round."
        )
    if task.labels is None or _distinct(predicted) < LATIN:
        return ""
    found = infer_task(predicted)
    if found.group is None or found.group.order != task.labels.group.order:
        return ""
    follows = float((found.answer == predicted)[found.answer >= 0].mean())
    return (
        f"{right:.1%} of the answers are right, and {follows:.1%} follow the table of {found.group.name} in another "
        "numbering of its elements: a symptom of a task that is numbered otherwise, not of a model that fails. Pass "
        "--task infer, or table:FILE.npy with the table it was trained on."
    )


def _distinct(predicted: Int[np.ndarray, "n n"]) -> float:
    return float(np.mean([len(np.unique(row)) / len(row) for row in (*predicted, *predicted.T)]))
