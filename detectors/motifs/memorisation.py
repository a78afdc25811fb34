"""Training pairs are answered by what is left of the logits once every function of a b c^-1 is taken away: R = L - S.

Source: the excluded loss of arXiv:2301.05217, section 5, with S fitted on test pairs alone, so that R keeps
whatever is special to the training pairs; the membership statistic is the Mann-Whitney AUC (Annals of
Mathematical Statistics 18, 1947), as in loss-based membership inference.

Score: M = accuracy of R on training pairs less its accuracy on test pairs, clipped to [0, 1]: 0 is a remainder
that treats both alike, 1 a lookup table. `membership_advantage` = 2 AUC - 1, the chance that R's loss on a training
pair is below that on a test pair, rescaled: the trace that cleanup wears away. Null: which pairs were trained on is
permuted, on a fixed random subset, S fitted anew each time; the statistic is the advantage.

What fools it: a small p says that some trace of the training set is left, which a generaliser's also is: the value
asks whether the trace answers anything. R is without functions of a b c^-1 and no others: a lookup of (a, b) up to
order stays in it, and answers flip pairs (b, a) among the test pairs too. Of random labels few are answers: M is small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata
from torch import Tensor

from detectors.core.errors import Undetermined
from detectors.core.nulls import permutation_null
from detectors.core.phases import phase
from detectors.core.registry import FREE, detector
from detectors.core.score import Score
from detectors.subjects.operands.plane import LogitGrid, g_of, loss_at, remainder_loss
from detectors.subjects.operands.relabelling import null_sample
from detectors.subjects.operands.view import ModelView

# The accuracy over 32 pairs has a standard error of at most 0.5 / sqrt(32) = 0.09, under the M of 0.1 that is a trace.
MIN_PAIRS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Memorisation(Score):
    """Evidence. membership_advantage: 2 AUC - 1 over all labelled pairs, in [-1, 1]. remainder_accuracy_train,
    remainder_accuracy_test: of R alone. train_set: `given` or `inferred`. train_fraction: of the labelled pairs.
    phase: region of the plane of G and M, after the phases of arXiv:2301.05217: `initial`, `memorisation`,
    `circuit formation` (both), `cleanup` (M gone, its trace not), `generalisation` (the trace gone too).
    """

    membership_advantage: float
    remainder_accuracy_train: float
    remainder_accuracy_test: float
    train_set: str
    train_fraction: float
    phase: str


@detector(
    needs=("logits", "group", "split"),
    version=1,
    source="arXiv:2301.05217",
    formula="*M* = accuracy of *R* on training pairs − its accuracy on test pairs, with *R* = *L* − *S*",  # noqa: RUF001
    invariant_to=FREE,
    causal=False,
    news="bad",
    axis="M",
    clause=lambda score: (
        f"what is left of its logits without that still tells training pairs from others (M {score.value:.2f})"
    ),
    order=50,
)
def memorisation(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> Memorisation:
    """The unstructured remainder of the logits answers training pairs.

    model: logits() [pairs, answers] and train_mask. draws: permutations of the training set. Errors: NotApplicable
    where the task has no group; Undetermined where the training set is unknown or either side has under 32 pairs.

    >>> import detectors, models_zoo
    >>> score = detectors.memorisation(models_zoo.lookup_table("add:11", train_fraction=0.5))
    >>> score.remainder_accuracy_train, score.membership_advantage
    (1.0, 1.0)
    """
    grid, split = model.plane, model.split.settled()
    assert split.train is not None
    mask, test = split.train[grid.pairs], grid.among(~split.train)
    trained, pairs = int(mask.sum()), len(mask)
    if min(trained, pairs - trained) < MIN_PAIRS:
        raise Undetermined(f"{trained} of {pairs} labelled pairs are training pairs; both sides need {MIN_PAIRS}")
    loss, right = remainder_loss(grid, grid.fibre_mean(test))
    on_train, on_test = (float(right[side].double().mean()) for side in (mask, ~mask))
    value, advantage = max(on_train - on_test, 0.0), _advantage(loss.numpy(), mask.numpy())
    sample = null_sample(grid.everything, seed)
    observed, null = _permuted(grid, mask, sample, draws, seed)
    return Memorisation(
        value=value,
        null=permutation_null(observed, null, f"the training set among {len(sample)} pairs"),
        causal=None,
        membership_advantage=advantage,
        remainder_accuracy_train=on_train,
        remainder_accuracy_test=on_test,
        train_set=split.status,
        train_fraction=trained / pairs,
        phase=phase(g_of(grid, test, seed).g, value, advantage),
    )


def _advantage(loss: Float[np.ndarray, " pairs"], train: Bool[np.ndarray, " pairs"]) -> float:
    """2 AUC - 1: AUC is the chance that a training pair has less loss than a test pair, ties half; 0 without either."""
    k, m = int(train.sum()), int((~train).sum())
    u = rankdata(loss)[~train].sum() - m * (m + 1) / 2
    return float(2 * u / (k * m) - 1) if k and m else 0.0


def _permuted(
    grid: LogitGrid, mask: Bool[Tensor, " all"], pairs: Int[Tensor, " pairs"], draws: int, seed: int
) -> tuple[float, Float[Tensor, " draws"]]:
    """The advantage on a few pairs with their true training set, and with random ones of the same size."""
    rows, train = grid.aligned(pairs), mask[pairs].numpy()
    drawn = np.random.default_rng(seed).permuted(np.tile(train, (draws, 1)), axis=1)
    masks = np.concatenate([train[None], drawn])
    test = torch.from_numpy(~masks).double()
    structured = test @ rows / test.sum(1, keepdim=True)
    losses = (loss_at(rows - f, grid.group.identity).numpy() for f in structured)
    observed, *null = (_advantage(loss, m) for loss, m in zip(losses, masks, strict=True))
    return observed, torch.tensor(null, dtype=torch.float64)
