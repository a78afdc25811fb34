"""The logits contain a function of a b c^-1 that answers pairs the model was not trained on: S(a, b, c) = f(a b c^-1).

Source: the restricted loss of arXiv:2301.05217, section 5, cross-fitted: f is estimated on pairs that are neither
training pairs nor those that its temperature is chosen on, since an estimate on all pairs contains the answers.

Score: G = 1 - CE / ln n, clipped to [0, 1]: 0 is chance, 1 a structured part that is certain and right. The test pairs
are split in two at random, both ways, eight times. CE is the mean cross-entropy, in nats, of a half's f, its own mean
logits along each fibre, at the temperature that the two folds of the other half agreed on; it is the same on every
pair. The temperature is at least std(L) / 100, so that the value is finite and does not depend on the scale of the
logits. It may then magnify a trace, so G is scaled down where the structured part holds under 2% of the squares of the
logits on test pairs (`structured_share`). Null: one permutation relabels a, b and c alike, on a fixed random subset of
the test pairs; the statistic is G of one split, not scaled down.

What fools it: it says what the model holds, not what wins: a memoriser with a drowned circuit scores high. A lookup
table fitted on all pairs would score 1, hence test pairs. Flip pairs (b, a) are ordinary test pairs here, so that a
lookup of (a, b) up to order scores high. An inferred training set leaves as test pairs those of high loss, on which
what generalises shows least: G is then a lower bound.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from detectors.core.errors import Undetermined
from detectors.core.nulls import permutation_null
from detectors.core.registry import FREE, detector
from detectors.core.score import Score
from detectors.subjects.operands.plane import g_of
from detectors.subjects.operands.relabelling import null_sample, relabelled_g
from detectors.subjects.operands.view import ModelView
from detectors.subjects.right import answered

# Two a block, so that no fold is empty. A circuit that holds 2% of logits over 53 answers, the rest white noise, has a
# mean G of 0.89 from 32 pairs and of 0.48 from 16 (100 models, seed 0).
MIN_TEST = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Generalisation(Score):
    """Evidence. structured_accuracy: of S on test pairs, f from all of them; S is right on every pair or on none, as
    the identity is f's largest value or not. temperature: geometric mean over the splits and their halves, in units of
    the logits. test_loss: cross-entropy of the structured part, nats. chance_loss: ln n. structured_share: of the
    squares of the centred logits on test pairs. train_set: `given` or `inferred`. train_fraction: of the labelled
    pairs.
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
    "of the test pairs and *T* the temperature that the two folds of the other half agreed on",
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
    assert split.train is not None
    test = grid.among(~split.train)
    if len(test) < MIN_TEST:
        raise Undetermined(f"{len(test)} labelled pairs are outside the training set; at least {MIN_TEST} are needed")
    structured, sample = g_of(grid, test, seed), null_sample(test, seed)
    observed, null = relabelled_g(grid, sample, structured.steepest, draws, seed)
    return Generalisation(
        value=structured.g,
        null=permutation_null(observed, null, f"labels of {len(sample)} test pairs"),
        causal=None,
        structured_accuracy=float(answered(grid.fibre_mean(test)[None], torch.tensor([grid.group.identity]))),
        temperature=structured.temperature,
        test_loss=structured.loss,
        chance_loss=math.log(grid.n),
        structured_share=structured.share,
        train_set=split.status,
        train_fraction=1 - len(test) / grid.n**2,
    )
