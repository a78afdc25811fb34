"""Induction heads: a query looks at the token behind an earlier copy of itself, *k* with *t*_{*k*−1} = *t*_{*q*}.

Source: arXiv:2209.11895 (prefix matching); definition of the mask as in TransformerLens's head detector.

Score: mass on those keys beyond what the head's patterns on other sequences have there, over what a perfect head could
have: 0 for a head that looks at places, 1 for one that looks nowhere else. Null: templates exchanged between sequences;
p-values are of the largest excess over all heads. Cause: the head's output, and its pattern, set to its mean over
sequences, whichever loses less, beside other heads of the layer.

What fools it: where all repeats have one lag, a head that looks back by that lag has the same mass, and nothing beyond
other sequences. A head that does this and copies nothing is inert, and one that copies against what it sees is named by
`copies`.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from detectors.core.errors import MissingPart, NotApplicable
from detectors.core.heads import Heads, label, spoken
from detectors.core.registry import detector
from detectors.subjects.sequences.circuits import circuits
from detectors.subjects.sequences.eigenvalues import sign
from detectors.subjects.sequences.heads import by_content
from detectors.subjects.sequences.patterns import Looks, Sample, sample_of
from detectors.subjects.sequences.view import SequenceView


def clause(score: Heads) -> str:
    """What is said of them: those that copy against what they see are named apart."""
    apart = [head for head in score.heads if head.get("copies") == -1]
    said = spoken("induction")(replace(score, heads=tuple(h for h in score.heads if h not in apart)))
    names = ", ".join(map(label, apart))
    against = (
        f"{names} of induction's shape, against what {'they see' if len(apart) > 1 else 'it sees'}" if apart else ""
    )
    return f"{said} ({against})" if said and against else said or against


@detector(
    needs=("attention", "run"),
    version=2,
    source="arXiv:2209.11895",
    subject="sequences",
    formula=r"A_{qk} \text{ on } k \text{ with } t_{k-1} = t_q",
    invariant_to=("head_permutation", "head_gauge", "residual_rotation"),
    chose="heads",
    clause=clause,
    order=110,
)
def induction_heads(model: SequenceView, /, *, draws: int = 199, seed: int = 0) -> Heads:
    """A head looks at the token behind an earlier copy of the query's.

    model: sequences with repeats at varying lags. A head's entry has `copies`: 1 where OV says what it sees, -1 where
    it says anything but that, None where it does neither, or where answers are no tokens. Errors: NotApplicable where
    no token occurs twice.

    >>> import detectors, models_zoo
    >>> score = detectors.induction_heads(models_zoo.induction_head(n_tokens=12, n_ctx=16))
    >>> score.heads[0]["layer"], score.heads[0]["head"], round(score.value, 2)
    (1, 0, 1.0)
    """
    found = by_content(model, behind_a_copy, draws=draws, seed=seed)
    try:
        ov = circuits(model, sample_of(model))
    except (NotApplicable, MissingPart):
        return replace(found, heads=tuple({**head, "copies": None} for head in found.heads))
    signs = [sign(ov[head["layer"] * model.n_heads + head["head"]]) for head in found.heads]
    return replace(found, heads=tuple({**head, "copies": s} for head, s in zip(found.heads, signs, strict=True)))


def behind_a_copy(sample: Sample) -> Looks:
    """Keys whose previous token is the query's."""
    tokens = sample.tokens
    at = torch.zeros_like(sample.keys)
    at[:, :, 1:] = (tokens[:, :, None] == tokens[:, None, :-1]) & _before(tokens.shape[1])[:, :-1]
    return Looks(at)


def _before(size: int) -> torch.Tensor:
    return torch.ones(size, size, dtype=torch.bool).tril(-1)
