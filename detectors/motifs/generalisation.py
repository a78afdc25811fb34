"""The logits contain a function of a b c^-1 that answers pairs the model was not trained on: S(a, b, c) = f(a b c^-1).

Source: the restricted loss of arXiv:2301.05217, section 5.1, cross-fitted: f is estimated on pairs that are
neither training pairs nor the pairs it is judged on, since an estimate on all pairs contains the answers.

Score: G = 1 - CE / ln n, clipped to [0, 1]: 0 is chance, 1 a structured part that is certain and right. The test
pairs are split in two at random; a half's f, its mean logits along each fibre, stands at the temperature that suits
the two folds of the other half best, since the loss of a function of a b c^-1 is the same on every pair; both ways,
mean of eight splits. The temperature is at least std(L) / 100, so that the value is finite and does not depend on the
scale of the logits. It may then magnify a trace, so G is scaled down where the structured part holds under 2% of the
squares of the logits on test pairs (`structured_share`). Null: one permutation relabels a, b and c alike, on a fixed
random subset of the test pairs.

What fools it: it says what the model holds, not what wins: a memoriser with a drowned circuit scores high. A
lookup table fitted on all pairs would score 1, hence test pairs. An inferred training set leaves as test pairs those
of high loss, on which what generalises shows least: G is then a lower bound. Flip pairs (b, a) are ordinary
test pairs here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from detectors.core.errors import Undetermined
from detectors.core.nulls import permutation_null, permutations, subset
from detectors.core.registry import FREE, detector
from detectors.core.score import Score
from detectors.subjects.operands.plane import (
    BLOCKS,
    LogitGrid,
    cross_fitted,
    g_of_loss,
    g_value,
    structured_fit,
    structured_share,
)
from detectors.subjects.operands.split import Split
from detectors.subjects.operands.view import ModelView
from detectors.subjects.right import answered

MIN_TEST = 32
NULL_PAIRS = 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Generalisation(Score):
    """Evidence. structured_accuracy: of S on test pairs, f from all of them; S is right on every
    pair or on none, as the identity is f's largest value or not. temperature: geometric
    mean over the splits, in units of the logits. test_loss: cross-entropy of the structured part, nats.
    chance_loss: ln n. structured_share: of the squares of the centred logits on test pairs. train_set: `given`
    or `inferred`. train_fraction: of the labelled pairs.
    """

    structured_accuracy: float
    temperature: float
    test_loss: float
    chance_loss: float
    structured_share: float
    train_set: str
    train_fraction: float


@detector(
    needs=("logits", "group", "split"),
    version=2,
    source="arXiv:2301.05217",
    formula="*G* = (1 − CE(*f*/*T*) / ln *n*) min(1, share / 2%), with *f*(*a b c*^{−1}) the mean logits of one half "  # noqa: RUF001
    "of the unseen pairs and *T* the temperature that suits the other half",
    invariant_to=FREE,
    causal=False,
    axis="G",
    order=40,
)
def generalisation(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> Generalisation:
    """A structured part of the logits answers unseen pairs.

    model: logits() [pairs, answers] and train_mask. draws: permutations of the labels. Errors: NotApplicable
    where the task has no group; Undetermined where the training set is unknown or leaves under 32 test pairs.

    >>> import detectors, models_zoo
    >>> score = detectors.generalisation(models_zoo.trig_mlp(p=11, frequencies=(3,), train_fraction=0.4))
    >>> score.structured_accuracy, round(score.train_fraction, 1)
    (1.0, 0.4)
    """
    grid, split = model.plane, model.split.settled()
    test = _test_pairs(grid, split)
    fitted, steepest = structured_fit(grid, test, seed)
    loss, share = float(fitted.loss.mean()), structured_share(grid, test)
    sample = test[subset(len(test), NULL_PAIRS, seed)]
    return Generalisation(
        value=g_value(loss, share, grid.n),
        null=permutation_null(*_permuted(grid, sample, steepest, draws, seed), f"labels of {len(sample)} test pairs"),
        causal=None,
        structured_accuracy=float(answered(grid.fibre_mean(test)[None], torch.tensor([grid.group.identity]))),
        temperature=float(fitted.temperature.log().mean().exp()),
        test_loss=loss,
        chance_loss=math.log(grid.n),
        structured_share=share,
        train_set=split.status,
        train_fraction=1 - len(test) / grid.n**2,
    )


def _test_pairs(grid: LogitGrid, split: Split) -> Int[Tensor, " test"]:
    assert split.train is not None
    test = grid.among(~split.train)
    if len(test) < MIN_TEST:
        raise Undetermined(f"{len(test)} labelled pairs are outside the training set; at least {MIN_TEST} are needed")
    return test


def _permuted(grid: LogitGrid, pairs: Tensor, steepest: float, draws: int, seed: int) -> tuple[float, Tensor]:
    """G, from one split, of a few test pairs as they are and under relabellings of a, b and c."""
    n, identity = grid.n, grid.group.identity
    rows = grid.rows(pairs)
    table = torch.from_numpy(grid.group.table)
    rng = np.random.default_rng(seed)
    block = torch.from_numpy(rng.permutation(len(pairs)) % BLOCKS)
    sums = torch.zeros(draws + 1, BLOCKS, n, dtype=torch.float64)
    for i, perm in enumerate([torch.arange(n), *permutations(n, draws, seed)]):
        product = table[perm[pairs // n], perm[pairs % n]]
        sums[i].index_add_(0, block, rows.gather(1, perm.argsort()[grid.shift[product]]))
    loss = cross_fitted(sums, torch.bincount(block, minlength=BLOCKS), identity, steepest, 1, rng).loss.mean((1, 2))
    g = g_of_loss(loss, n)
    return float(g[0]), g[1:]
