"""The one meaning of a right answer, for accuracies, causes and remainders alike."""

from __future__ import annotations

from jaxtyping import Bool, Float, Int
from torch import Tensor

# Eight steps of float32 at the size of the largest logit: what sums of some hundred terms differ by in another order.
ROUNDING = 1e-6


def answered(
    logits: Float[Tensor, "cases answers"],
    answers: Int[Tensor, " cases"],
    of: Float[Tensor, "cases others"] | None = None,
) -> Bool[Tensor, " cases"]:
    """Whether the right answer leads every other by more than rounding.

    A tie is no answer: with argmax a row of equal logits would be right wherever the answer is numbered 0, and so would
    what rounding leaves of logits that an edit has removed. of: the logits that these were made from, whose size says
    what rounding is; themselves where None.

    >>> import torch
    >>> answered(torch.tensor([[2.0, 1.0], [1.0, 1.0]]), torch.tensor([0, 0])).tolist()
    [True, False]
    """
    own = logits.gather(1, answers[:, None]).squeeze(1)
    others = logits.scatter(1, answers[:, None], -float("inf")).amax(1)
    return own > others + ROUNDING * (logits if of is None else of).abs().amax(1)


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

    >>> import torch
    >>> before, answers = torch.tensor([[9.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 0])
    >>> still_answered(torch.tensor([[1.0, 0.0], [0.8, 0.0]]), answers, before).tolist()
    [True, False]
    """
    return answered(edited, answers, of=before) & (_margin(edited, answers) >= MATERIAL * _margin(before, answers))


def _margin(logits: Float[Tensor, "cases answers"], answers: Int[Tensor, " cases"]) -> Float[Tensor, " cases"]:
    own = logits.gather(1, answers[:, None]).squeeze(1)
    return own - logits.scatter(1, answers[:, None], -float("inf")).amax(1)
