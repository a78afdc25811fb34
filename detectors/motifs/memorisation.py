"""Training pairs are answered by what is left of the logits once every function of a b c^-1 is taken away: R = L - S.

Source: the excluded loss of arXiv:2301.05217, section 5.1, with S fitted on test pairs alone, so that R keeps
whatever is special to the training pairs; the membership statistic is the Mann-Whitney AUC (Annals of
Mathematical Statistics 18, 1947), as in loss-based membership inference.

Score: M = accuracy of R on training pairs less its accuracy on test pairs, clipped to [0, 1]: 0 is a remainder
that treats both alike, 1 a lookup table. `membership_advantage` = 2 AUC - 1, the chance that R's loss on a training
pair is below that on a test pair, rescaled: the trace that cleanup wears away. Null: which pairs were trained on is
permuted, on a fixed random subset, S fitted anew each time; the statistic is the advantage.

What fools it: a small p says that some trace of the training set is left, which a generaliser's also is: the value
asks whether the trace answers anything. Characters that generalise leave R; other functions of the training
pairs, such as a lookup of (a, b) up to order, do not. With random labels R answers the training pairs all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor

from detectors.core.errors import Undetermined
from detectors.core.nulls import permutation_null, subset
from detectors.core.phases import phase
from detectors.core.registry import FREE, detector
from detectors.core.score import Score
from detectors.subjects.operands.plane import LogitGrid, g_value, remainder_loss, structured_fit, structured_share
from detectors.subjects.operands.view import ModelView

NULL_PAIRS = 1024
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
    train = mask.numpy()
    if min(train.sum(), (~train).sum()) < MIN_PAIRS:
        raise Undetermined(
            f"{train.sum()} of {len(train)} labelled pairs are training pairs; both sides need {MIN_PAIRS}"
        )
    loss, right = remainder_loss(grid, grid.fibre_mean(test))
    on_train, on_test = float(right[mask].double().mean()), float(right[~mask].double().mean())
    sample = subset(len(train), NULL_PAIRS, seed)
    observed, null = _permuted(grid, mask, sample, draws, seed)
    value, advantage = float(np.clip(on_train - on_test, 0, 1)), _advantage(loss.numpy(), train)
    structured_loss = float(structured_fit(grid, test, seed)[0].loss.mean())
    g = g_value(structured_loss, structured_share(grid, test), grid.n)
    return Memorisation(
        value=value,
        null=permutation_null(observed, null, f"the training set among {len(sample)} pairs"),
        causal=None,
        membership_advantage=advantage,
        remainder_accuracy_train=on_train,
        remainder_accuracy_test=on_test,
        train_set=split.status,
        train_fraction=float(train.mean()),
        phase=phase(g, value, advantage),
    )


def _advantage(loss: np.ndarray, train: np.ndarray) -> float:
    """2 AUC - 1, where AUC is the chance that a training pair's loss is below a test pair's (ties half)."""
    k, m = int(train.sum()), int((~train).sum())
    u = rankdata(loss)[~train].sum() - m * (m + 1) / 2
    return float(2 * u / (k * m) - 1) if k and m else 0.0


def _permuted(grid: LogitGrid, mask: Tensor, pairs: Tensor, draws: int, seed: int) -> tuple[float, Tensor]:
    """The advantage on a few pairs with their true training set, and with random ones of the same size."""
    rows, e = grid.aligned(pairs), grid.group.identity
    rng = np.random.default_rng(seed)
    train = mask[pairs].numpy()
    if train.all() or not train.any():
        return 0.0, torch.zeros(draws, dtype=torch.float64)
    masks = np.concatenate([train[None], rng.permuted(np.tile(train, (draws, 1)), axis=1)])
    test = torch.from_numpy(~masks).double()
    structured = test @ rows / test.sum(1, keepdim=True)
    scores = []
    for drawn, f in zip(masks, structured, strict=True):
        remainder = rows - f
        scores.append(_advantage((remainder.logsumexp(1) - remainder[:, e]).numpy(), drawn))
    return scores[0], torch.tensor(scores[1:], dtype=torch.float64)
