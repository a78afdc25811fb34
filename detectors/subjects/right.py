"""The one meaning of a right answer, for accuracies, causes and remainders alike."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# Eight steps of float32 at the size of the largest logit: what sums of some hundred terms differ by in another order.
ROUNDING = 1e-6
MASK = 1e3  # times both rivals and more: an answer that is masked out, which is no term of theirs


def rounding(of: Float[Tensor, "cases answers"], answers: Int[Tensor, " cases"]) -> Float[Tensor, " cases"]:
    """What rounding is in each case: a millionth of the largest logit; where that is MASK times the right answer and
    its rival, of the median logit or of those two.

    >>> rounding(torch.tensor([[2.0, 1.0, -4.0], [2.0, 1.0, -1e9]]), torch.tensor([0, 0])).tolist()
    [3.999999989900971e-06, 1.9999999949504854e-06]
    """
    largest = of.abs().amax(1)
    far = (largest > MASK * of.gather(1, answers[:, None]).abs()[:, 0]).nonzero()[:, 0]
    if len(far):
        rivals = _own_and_other(of[far], answers[far]).abs().amax(1)
        others = torch.maximum(rivals, of[far].abs().median(1).values)
        largest[far] = torch.where(largest[far] > MASK * rivals, others, largest[far])
    return ROUNDING * largest


def answered(
    logits: Float[Tensor, "cases answers"],
    answers: Int[Tensor, " cases"],
    of: Float[Tensor, "cases others"] | None = None,
) -> Bool[Tensor, " cases"]:
    """Whether the right answer leads every other by more than rounding.

    A tie is no answer: with argmax a row of equal logits would be right wherever the answer is numbered 0, and so would
    what rounding leaves of logits that an edit has removed. of: the logits that these were made from, whose size says
    what rounding is; themselves where None.

    >>> answered(torch.tensor([[2.0, 1.0], [1.0, 1.0]]), torch.tensor([0, 0])).tolist()
    [True, False]
    """
    own, other = _own_and_other(logits, answers).unbind(1)
    return own > other + rounding(logits if of is None else of, answers)


# Of 20 right answers one alone is the 5 points that judging takes for noise; half as many again leave some room.
MIN_RIGHT = 30
# standard errors between the right answers and any other relation: 1 in 740 for one, some % over 100 of them
SURE = 3.0


def enough(right: int, other: int) -> bool:
    """Whether so many right answers, beside so many that another relation gives, are enough to ask for causes.

    >>> enough(30, 9), enough(29, 0), enough(100, 70)
    (True, False, False)
    """
    return right >= MIN_RIGHT and right > other + SURE * (right + other) ** 0.5


# Of its own margin: an edit that leaves less has removed what the answer rests on, where 0.24% of it once made a
# circuit `inert`. Published circuits that are kept alone keep more than a tenth on 95% of the pairs and more.
MATERIAL = 0.1


def still_answered(
    edited: Float[Tensor, "cases answers"], answers: Int[Tensor, " cases"], before: Float[Tensor, "cases others"]
) -> Bool[Tensor, " cases"]:
    """Whether the right answer still leads every other, by a tenth of the margin that it had before the edit.

    >>> before, answers = torch.tensor([[9.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 0])
    >>> still_answered(torch.tensor([[1.0, 0.0], [0.8, 0.0]]), answers, before).tolist()
    [True, False]
    """
    return answered(edited, answers, of=before) & (_margin(edited, answers) >= MATERIAL * _margin(before, answers))


def _margin(logits: Float[Tensor, "cases answers"], answers: Int[Tensor, " cases"]) -> Float[Tensor, " cases"]:
    own, other = _own_and_other(logits, answers).unbind(1)
    return own - other


def _own_and_other(logits: Float[Tensor, "cases answers"], answers: Int[Tensor, " cases"]) -> Float[Tensor, "cases 2"]:
    """The right answer's, and the largest of the others."""
    own = logits.gather(1, answers[:, None])
    return torch.cat([own, logits.scatter(1, answers[:, None], -float("inf")).amax(1, keepdim=True)], dim=1)
