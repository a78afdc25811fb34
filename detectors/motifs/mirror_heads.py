"""Mirror heads: in the second half a query looks at its mirror image where the tokens are equal, and not where they
differ.

Source: the monthly problem of ARENA for July 2023 (palindromes), solution.

Score: mass on the mirror where the tokens are equal less mass on it where they are not, a mean over queries of the
second half, times 1 less the mass of an equal token elsewhere over that of the mirror, in queries with both; 1 for a
head that looks there always and only where they are. Null: templates exchanged between sequences,
so that equality is; p-values are of the largest score over all heads. Cause: the head's output, and its pattern, set to
its mean over sequences, whichever loses less, beside other heads of the layer.

What fools it: a head that looks at its mirror whatever stands there, which is why what it does where the tokens differ
is subtracted; and one that looks at equal tokens wherever they are, which the factor makes 0.
"""

from __future__ import annotations

import torch

from detectors.core.errors import NotApplicable
from detectors.core.heads import Heads, spoken
from detectors.core.registry import detector
from detectors.subjects.sequences.heads import by_content
from detectors.subjects.sequences.patterns import Looks, Sample
from detectors.subjects.sequences.view import SequenceView


@detector(
    needs=("attention", "run"),
    version=3,
    source="ARENA, monthly problem of July 2023",
    subject="sequences",
    formula=r"A_{qk} \text{ on } k = L - 1 - q"
    "\n"
    r"\text{with } t_k = t_q \text{, less with } t_k \neq t_q",
    invariant_to=("head_permutation", "head_gauge", "residual_rotation"),
    chose="heads",
    clause=spoken("comparing mirror images"),
    order=140,
)
def mirror_heads(model: SequenceView, /, *, draws: int = 199, seed: int = 0) -> Heads:
    """A head looks at the query's mirror image where the tokens are equal.

    Errors: NotApplicable where no query of the second half has an equal and, elsewhere, another mirror.
    """
    if model.language:
        raise NotApplicable("a text mirrors nothing: heads that look at equal words would be taken for it")
    return by_content(model, mirrored, draws=draws, seed=seed)


def mirrored(sample: Sample) -> Looks:
    """The key L - 1 - q of queries of the second half, where it holds the same token and where it does not; rivals are
    equal tokens at other places.
    """
    size = sample.tokens.shape[1]
    query = torch.arange(size)
    mirror = (query[:, None] + query[None, :] == size - 1) & (query[:, None] > query[None, :])
    same = (sample.tokens == sample.tokens.flip(1))[..., None]
    value = ~(sample.markers | sample.markers.flip(1))[..., None]
    elsewhere = (sample.tokens[..., None] == sample.tokens[:, None]) & ~mirror & ~torch.eye(size, dtype=torch.bool)
    return Looks(*(x & value & sample.keys for x in (mirror & same, mirror & ~same, elsewhere)))
