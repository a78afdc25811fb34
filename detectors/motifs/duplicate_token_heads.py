"""Duplicate-token heads: a query looks at earlier copies of its own token, *k* < *q* with *t*_{*k*} = *t*_{*q*}.

Source: arXiv:2211.00593, section 3.2; definition of the mask as in TransformerLens's head detector.

Score: mass on those keys beyond what the head's patterns on other sequences have there, over what a perfect head could
have. Null: templates exchanged between sequences; p-values are of the largest excess over all heads. Cause: the head's
output, and its pattern, set to its mean over sequences, whichever loses less, beside other heads of the layer.

What fools it: duplicates at a constant gap, where a head that looks back by that gap has the same mass, and nothing
beyond other sequences. In palindromes the mirror is a duplicate too.
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
    source="arXiv:2211.00593",
    subject="sequences",
    formula=r"A_{qk} \text{ on } k < q \text{ with } t_k = t_q",
    invariant_to=("head_permutation", "head_gauge", "residual_rotation"),
    chose="heads",
    clause=spoken("duplicate tokens"),
    order=120,
)
def duplicate_token_heads(model: SequenceView, /, *, draws: int = 199, seed: int = 0) -> Heads:
    """A head looks at earlier copies of the query's token.

    Errors: NotApplicable where no token occurs twice.
    """
    return by_content(model, copies, draws=draws, seed=seed)


def copies(sample: Sample) -> Looks:
    """Earlier keys that hold the query's token."""
    tokens = sample.tokens
    before = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).tril(-1)
    return Looks((tokens[:, :, None] == tokens[:, None, :]) & before)
