"""Previous-token heads: a query looks at the token before it, *k* = *q* − 1.

Source: arXiv:2209.11895, section on the mechanism of induction; definition of the mask as in TransformerLens's head
detector.

Score: mass of the mean pattern on the place before, beyond the best other place, a mean over queries, less what it is
by chance over what it could be at most beyond that. A token that only marks where one is, as the start on which
heads rest that have nothing to do, is no place. A head that does this at some places alone has the share of them;
`positions` names them. Null: places exchanged, query by query; p-values are of the largest score over all heads. Cause:
the head's output set to its mean over sequences (its mean pattern is what it does), beside other heads or directions of
the layer.

What fools it: in short sequences the place before is one of few, which the null pays for. A head that attends to all
places alike has nothing beyond another place.
"""

from __future__ import annotations

import torch

from detectors.core.heads import Heads, spoken
from detectors.core.registry import detector
from detectors.subjects.sequences.patterns import sample_of
from detectors.subjects.sequences.positions import Places, by_position
from detectors.subjects.sequences.view import SequenceView


@detector(
    needs=("attention", "run"),
    version=3,
    source="arXiv:2209.11895",
    subject="sequences",
    formula=r"A_{qk} \text{ on } k = q - 1",
    invariant_to=("head_permutation", "head_gauge", "residual_rotation"),
    chose="heads",
    clause=spoken("the previous token"),
    order=100,
)
def previous_token_heads(model: SequenceView, /, *, draws: int = 199, seed: int = 0) -> Heads:
    """A head looks at the token before the query.

    >>> import detectors, models_zoo
    >>> score = detectors.previous_token_heads(models_zoo.induction_head(n_tokens=12, n_ctx=16))
    >>> score.heads[0]["layer"], score.heads[0]["head"], round(score.value, 2)
    (0, 0, 1.0)
    """
    sample = sample_of(model)
    size = sample.tokens.shape[1]
    at = torch.arange(size)
    key = torch.where(sample.markers.all(0), -1, at).expand(size, size)
    return by_position(model, sample, Places(key, at - 1), draws=draws, seed=seed)
