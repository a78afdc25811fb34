"""Position heads: what a query looks at depends on where it stands and on nothing else, *A*^{*s*} = mean over *s*.

Source: `motifs.json` of the reference models of sequences, whose cuts these are; the share of the patterns' variance
that their mean explains is no good (0.84 to 0.86 for heads whose content carries the whole task).

Score: 1 less the total variation between a head's patterns and their own mean over sequences, a mean over queries; 0
where the mean is within 0.2 of uniform. No null: that the content makes no difference cannot be exchanged away, and
value and cause decide. Cause: the head's output set to its mean over sequences loses answers that its pattern set to
its mean keeps.

What fools it: a head of zero queries and keys has the same pattern everywhere, which is uniform. A head that nothing
reads is inert.
"""

from __future__ import annotations

import torch

from detectors.core.heads import Heads, spoken
from detectors.core.registry import detector
from detectors.subjects.sequences.heads import Scored, by_shape, distances
from detectors.subjects.sequences.patterns import Looks, mean_of_stratum, patterns, sample_of, uniform
from detectors.subjects.sequences.view import SequenceView

FROM_UNIFORM = 0.2  # total variation of the mean pattern from uniform, at least
WEAK = 0.7  # a score below which no cause is asked for


@detector(
    needs=("attention", "run"),
    version=3,
    source="arXiv:2211.00593",
    subject="sequences",
    formula=r"A_{qk}(s) = A_{qk} \text{, the same for all sequences } s",
    chance=False,
    invariant_to=("head_permutation", "head_gauge", "residual_rotation"),
    chose="heads",
    clause=spoken("fixed places"),
    order=160,
)
def position_heads(model: SequenceView, /, *, draws: int = 199, seed: int = 0) -> Heads:
    """A head looks at places, whatever stands there.

    draws: of no effect, as there is no null.
    """
    sample = sample_of(model)
    apart = distances(model, sample, lambda pattern: mean_of_stratum(pattern, sample.stratum))
    alike = uniform(sample)[:, None]
    own = distances(model, sample, lambda pattern: pattern - mean_of_stratum(pattern, sample.stratum) + alike)
    score = (1 - apart.nanmean(1)) * (own.nanmean(1) > FROM_UNIFORM)
    if model.language:  # to look at the first place is to look nowhere
        score *= torch.cat([1 - p[:, :, 1:, 0].mean((0, 2)) for p in patterns(model, sample)])
    nothing = Looks(sample.keys & False)  # so that a head's mean takes the place of its patterns
    return by_shape(model, sample, Scored(score, 1 - apart), nothing, weak=WEAK, seed=seed)
