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
