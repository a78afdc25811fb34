"""Averaging heads: a query looks at all that it can see alike, *A*_{*qk*} = 1 / number of keys.

Source: the balanced bracket classifier of ARENA, section 1.4; a cumulative mean is its plainest use.

Score: 1 less the total variation between a head's patterns and the uniform ones over allowed keys, a mean over queries
of more than one key. No null: shuffled weights are as uniform where queries and keys are near zero, and value and cause
decide. Cause: the head's output set to its mean over sequences loses answers that exactly uniform patterns keep.

What fools it: an untrained head, whose queries and keys are small, is uniform and does nothing. A head that averages
over what stands behind alone is not uniform over all that it sees.
"""

from __future__ import annotations

from detectors.core.heads import Heads, spoken
from detectors.core.registry import detector
from detectors.subjects.sequences.heads import Scored, by_shape, distances
from detectors.subjects.sequences.patterns import Looks, sample_of, uniform
from detectors.subjects.sequences.view import SequenceView

WEAK = 0.6  # a score below which no cause is asked for


@detector(
    needs=("attention", "run"),
    version=3,
    source="ARENA, section 1.4",
    subject="sequences",
    formula=r"A_{qk} = \frac{1}{\text{number of keys of } q}",
    chance=False,
    invariant_to=("head_permutation", "head_gauge", "residual_rotation"),
    chose="heads",
    clause=spoken("averaging"),
    order=170,
)
def averaging_heads(model: SequenceView, /, *, draws: int = 199, seed: int = 0) -> Heads:
    """A head attends to all keys alike.

    draws: of no effect, as there is no null.
    """
    sample = sample_of(model)
    alike = uniform(sample)
    apart = distances(model, sample, lambda pattern: alike[:, None].expand_as(pattern))
    scored = Scored(1 - apart.nanmean(1), 1 - apart)
    return by_shape(model, sample, scored, Looks(sample.keys), weak=WEAK, seed=seed)
