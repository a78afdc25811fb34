"""What a reader should doubt before believing the verdicts: a split, a task or an option that looks wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from detectors.core.figures import Figures, TaskFacts
from detectors.judging.detection import Detection


class Case(NamedTuple):
    """What a sentence is about."""

    found: Mapping[str, Detection]
    task: TaskFacts
    figures: Figures


# Chance is 1 / answers; always giving one answer is right on less than 2 / answers of a table (max: (2n - 1) / n^2).
# Reference models that know nothing have 0.85 to 1.23 times chance; three times it is knowledge, however little.
LUCK = 3.0
# Of ln(answers), the loss of knowing nothing: untrained reference models have 1.00 to 1.34 times it, one under another
# numbering 7 to 11 times.
CERTAIN = 1.5


def at_chance(case: Case) -> bool:
    return (case.figures.accuracy.all or 0.0) < LUCK / max(case.task.n_answers, 1)


def certain(case: Case) -> bool:
    return (case.figures.loss.all or 0.0) > CERTAIN * math.log(case.task.n_answers)


def notes(
    detections: Sequence[Detection], task: TaskFacts, figures: Figures, architecture: Mapping[str, Any]
) -> list[str]:
    """What a reader should doubt before believing the verdicts."""
    if task.subject != "operands":
        return []
    case = Case({d.detector: d for d in detections}, task, figures)
    return [note for note in (_inferred(detections), *_doubts(case), _attention(architecture)) if note]


def _inferred(detections: Sequence[Detection]) -> str:
    inferred = (d.evidence.get("train_fraction") for d in detections if d.evidence.get("train_set") == "inferred")
    fraction = next((f for f in inferred if isinstance(f, float)), None)  # evidence of others may be anything
    if fraction is None:
        return ""
    return (
        f"the training pairs are not known; the {fraction:.1%} of the pairs in the lower of two "
        "humps of the loss are taken for them (--train-indices or --train-split would settle it)."
    )


MIDDLING = (0.1, 0.95)  # accuracy of a model that has learnt a part; above, both sides are within SAME of each other
SAME = 0.05  # two standard errors of the difference of two shares near one half, of 800 pairs each


def _doubts(case: Case) -> list[str]:
    task, accuracy, loss = case.task, case.figures.accuracy, case.figures.loss.all or 0.0
    right = accuracy.all or 0.0
    found, chance = [], LUCK / task.n_answers
    known = accuracy.train is not None and accuracy.test is not None
    middling = max(MIDDLING[0], chance) < right < MIDDLING[1]
    circuit = any(d.verdict == "present" and d.spec and d.spec.axis == "G" for d in case.found.values())
    if known and middling and not circuit and accuracy.train - accuracy.test < SAME:  # type: ignore[operator]
        found.append(
            f"the training pairs are answered no better than the others ({accuracy.train:.1%}, {accuracy.test:.1%}): "
            "are these the pairs it was trained on? If not, generalisation and memorisation mean nothing here."
        )
    if right < max(MIDDLING[0], chance) and certain(case):
        found.append(
            f"the model is confident and wrong (loss {loss:.1f}, chance {math.log(task.n_answers):.1f}): another "
            "task, or another numbering of the group's elements? Try --task infer, or table:FILE.npy with the table it "
            "was trained on."
        )
    if task.split == "doubted":
        found.append(
            "the training pairs that were given do not go with the loss: every motif is judged without them, and what "
            "needs them stays open. Pass other --train-indices, or --train-split FRACTION:auto."
        )
    if task.spec == "infer":
        found.append("the accuracy is that of the model's answers against themselves, for want of a task.")
    elif task.spec.startswith("infer"):
        found.append("the task was read off the model's own answers, and the accuracy is the agreement with it.")
    return found


def _attention(architecture: Mapping[str, Any]) -> str:
    two_positions = architecture.get("kind") == "transformer" and architecture.get("n_ctx") == 2
    assumed = two_positions and "attn_coeff" not in architecture
    return "ordinary softmax attention is assumed; --arch attn_coeff=R says otherwise." if assumed else ""
