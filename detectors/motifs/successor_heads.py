"""Successor heads: a query looks at the next larger token that it can see, the least *t*_{*k*} > *t*_{*q*}.

Source: the head of sorting models ("One Attention Head Is All You Need for Sorting Fixed-Length Lists", 2023, and the
monthly problem of ARENA for October 2023); of language models, arXiv:2312.09230.

Score: mass on that key beyond what the head's patterns on other sequences have there, over what a perfect head could
have, for queries where an answer is asked for. Tokens that only mark a place, such as a separator, come before all
values. Null: templates exchanged between sequences; p-values are of the largest excess over all heads. Cause: the
head's output, and its pattern, set to its mean over sequences, whichever loses less, beside random directions where all
heads of a layer are in use.

What fools it: two heads may share the values between them, so that each has half of the mass at the most. A head that
looks at all larger tokens alike has what falls to the next one.
"""

from __future__ import annotations

import torch

from detectors.core.heads import Heads, spoken
from detectors.core.registry import detector
from detectors.subjects.sequences.heads import by_content
from detectors.subjects.sequences.patterns import Looks, Sample
from detectors.subjects.sequences.view import SequenceView


@detector(
    needs=("attention", "run"),
    version=2,
    source="arXiv:2312.09230",
    subject="sequences",
    formula=r"A_{qk} \text{ on } k \text{ with the least } t_k > t_q",
    invariant_to=("head_permutation", "head_gauge", "residual_rotation"),
    chose="heads",
    clause=spoken("the next larger token"),
    order=130,
)
def successor_heads(model: SequenceView, /, *, draws: int = 199, seed: int = 0) -> Heads:
    """A head looks at the next larger token.

    Errors: NotApplicable where no query that is asked sees a larger one.
    """
    return by_content(model, next_larger, draws=draws, seed=seed)


def next_larger(sample: Sample) -> Looks:
    """Keys with the least value above the query's, of queries that are asked; a marker's value is below all."""
    value = sample.tokens.float()
    query = value.masked_fill(sample.markers, -1.0)
    key = value.masked_fill(sample.markers, -torch.inf)
    rise = key[:, None, :] - query[:, :, None]
    rise = rise.masked_fill((rise <= 0) | ~sample.keys, torch.inf)
    least = rise.amin(-1, keepdim=True)
    return Looks((rise == least) & least.isfinite() & sample.asked[..., None])
