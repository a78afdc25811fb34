"""Training pairs are answered by what is left of the logits once every function of a b c^-1 is taken away: R = L - S.

Source: the excluded loss of arXiv:2301.05217, section 5, with S fitted on unseen pairs alone, so that R keeps whatever
is special to the training pairs; the membership statistic is the Mann-Whitney AUC (Annals of Mathematical Statistics
18, 1947), as in loss-based membership inference. The definition of M is in `detectors/subjects/operands/lookup.py`.

Score: M = mean share of the winning margin that S does not give, over training pairs, less its mean over unseen pairs,
clipped to [0, 1]: 0 is a remainder that treats both alike, 1 a lookup table. S is louder on training pairs by the gain
that fits, since that is no lookup, and fainter where a lookup stands in its place; one that answers no pair right is
none. `membership_advantage` = 2 AUC - 1, the chance that R's loss on a training pair is below that on an unseen pair,
rescaled: the trace that cleanup wears away. Null: the training set is drawn anew, with the flips of its pairs, and S
fitted anew; the statistic is M.

What fools it: a small p says that some trace of the training set is left, which a generaliser's also is: the value
asks how much of the answers hangs on the trace. Flips (b, a) of training pairs are answered by a lookup up to order,
so they are on neither side. Answers that are looked up and wrong have no winning margin: M of random labels is small.
A lookup that takes away what outweighs S elsewhere leaves S its margin: by `right_apart` no absence is settled then.
Where the training set is unknown and the network answers all pairs, nothing can be looked up beyond `share_unseen`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from detectors.core.errors import Undetermined
from detectors.core.nulls import mid_ranks, permutation_null
from detectors.core.phases import phase
from detectors.core.registry import FREE, detector
from detectors.core.score import Score
from detectors.subjects.operands.lookup import lookup_of, lookup_shares, redrawn, right_apart
from detectors.subjects.operands.plane import remainder_loss
from detectors.subjects.operands.split import MIN_UNSEEN
from detectors.subjects.operands.structured import g_of
from detectors.subjects.operands.view import ModelView

LOUDER = 0.05  # a gain that a reader should know of: networks that were trained with decay until the end have 0.02
# Of the pairs: halfway networks whose circuit answers 29% of their unseen pairs, and lacks no lookup, have 0.7 at most.
APART = 0.75
UNSETTLED = (
    "{:.0%} more of its training pairs are right than of the others would be with its structured part as loud, though "
    "little of their margins is looked up"
)
CONFIDENCE = 1.96  # standard errors on either side: 95% of a normal


@dataclass(frozen=True, kw_only=True, slots=True)
class Memorisation(Score):
    """Evidence. interval: of M, 95%, by the spread of the shares over pairs. gain: how much louder S is on training
    pairs. share_train, share_unseen: mean share of the winning margin outside S. right_apart: accuracy on training
    pairs less that on unseen ones with S as loud. membership_advantage: 2 AUC - 1 over labelled pairs, in [-1, 1].
    remainder_accuracy_train, remainder_accuracy_test: of R alone, on training and on unseen pairs. train_set: `given`,
    `inferred`, or `unknown` where all pairs settle it, and what hangs on training pairs is None. train_fraction: of the
    labelled pairs. phase: region of the plane of G and M, after the phases of arXiv:2301.05217: `initial`,
    `memorisation`, `circuit formation` (both), `cleanup` (M gone, its trace not), `generalisation` (that gone too).
    """

    interval: tuple[float, float] | None
    gain: float | None
    share_train: float | None
    share_unseen: float
    right_apart: float | None
    membership_advantage: float | None
    remainder_accuracy_train: float | None
    remainder_accuracy_test: float | None
    train_set: str
    train_fraction: float | None
    phase: str | None


@detector(
    needs=("logits", "group", "split"),
    version=7,
    source="arXiv:2301.05217",
    formula=r"M = \underset{\text{training}}{\text{mean}} \frac{m - m_S}{m} - \underset{\text{unseen}}{\text{mean}} "
    r"\frac{m - m_S}{m}"
    "\n"
    r"m,\ m_S \text{: margins of the right answer in } L \text{ and } S"
    "\n"
    r"S \text{: structured part, louder by a gain where trained}",
    invariant_to=(*FREE, "residual_scale"),
    causal=False,
    news="bad",
    axis="M",
    clause=lambda score: (
        f"of the margin by which its training pairs are answered {score.value:.0%} is looked up (M {score.value:.2f})"
    ),
    order=50,
)
def memorisation(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> Memorisation:
    """The unstructured remainder of the logits answers training pairs.

    model: logits() [pairs, answers] and train_mask. draws: training sets drawn anew. Errors: NotApplicable where the
    task has no group; Undetermined where the training set is unknown or there are under 32 training or unseen pairs.

    >>> import detectors, models_zoo
    >>> score = detectors.memorisation(models_zoo.lookup_table("sub:11", train_fraction=0.5, noise=0.0))
    >>> score.value, score.gain, score.membership_advantage
    (1.0, 0.0, 1.0)
    """
    grid, split = model.plane, model.split
    if split.assumption:
        return _nothing_to_look_up(model)
    test = split.enough_unseen(grid)
    assert split.train is not None
    assert split.unseen is not None
    train, unseen = split.train[grid.pairs], split.unseen[grid.pairs]
    if int(train.sum()) < MIN_UNSEEN:
        raise Undetermined(
            f"{int(train.sum())} of {len(train)} labelled pairs are training pairs; {MIN_UNSEEN} are needed"
        )
    lookup = lookup_of(grid, train, unseen)
    observed, null, sampled = redrawn(grid, train, model.split.images, draws, seed)
    loss, right = remainder_loss(grid, grid.fibre_mean(test))
    value, advantage = min(max(lookup.m, 0.0), 1.0), _advantage(loss[train].numpy(), loss[unseen].numpy())
    reach = CONFIDENCE * lookup.deviation
    louder, apart = lookup.gain >= LOUDER, right_apart(grid, train, unseen)
    return Memorisation(
        value=value,
        null=permutation_null(observed, null, f"the training set among {sampled} pairs"),
        causal=None,
        remark=f"louder on its training pairs, by {lookup.gain:.0%}" if louder else "",
        unsettled=UNSETTLED.format(apart) if apart >= APART else "",
        interval=(max(lookup.m - reach, -1.0), min(lookup.m + reach, 1.0)),
        gain=lookup.gain,
        share_train=lookup.train,
        share_unseen=lookup.unseen,
        right_apart=apart,
        membership_advantage=advantage,
        remainder_accuracy_train=float(right[train].double().mean()),
        remainder_accuracy_test=float(right[unseen].double().mean()),
        train_set=split.status,
        train_fraction=grid.share(split.train),
        phase=phase(g_of(grid, test, seed).g, value, advantage),
    )


def _nothing_to_look_up(model: ModelView) -> Memorisation:
    """Of a network that answers all pairs: the mean share over them, an upper bound of M where most are unseen."""
    share = float(lookup_shares(model.plane, model.plane.fibre_mean(model.plane.everything)).mean())
    return Memorisation(
        value=share,
        null=None,
        causal=None,
        remark=model.split.assumption,
        interval=None,
        gain=None,
        share_train=None,
        share_unseen=share,
        right_apart=None,
        membership_advantage=None,
        remainder_accuracy_train=None,
        remainder_accuracy_test=None,
        train_set=model.split.status,
        train_fraction=None,
        phase=None,
    )


def _advantage(train: Float[np.ndarray, " train"], unseen: Float[np.ndarray, " unseen"]) -> float:
    """2 AUC - 1: AUC is the chance that a training pair has less loss than an unseen pair, ties half."""
    k, m = len(train), len(unseen)
    u = mid_ranks(np.concatenate([train, unseen]))[k:].sum() - m * (m + 1) / 2
    return float(2 * u / (k * m) - 1)
