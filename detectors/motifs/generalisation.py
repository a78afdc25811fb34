"""The logits contain a function of a b c^-1 that answers pairs the model was not trained on: S(a, b, c) = f(a b c^-1).

Source: the restricted loss of arXiv:2301.05217, section 5, cross-fitted: f is estimated on pairs that are neither
training pairs nor those that its temperature is chosen on, since an estimate on all pairs contains the answers. The
logits of a pair are scaled down where it would count for more than ten of the loudest tenth (`operands.loud`).

Score: G = 1 - CE / ln n, clipped to [0, 1]: 0 is chance, 1 a structured part that is certain and right. Unseen pairs
are split in two at random, both ways, eight times, a pair and its flip together where they are one question. CE is the
mean cross-entropy, in nats, of a half's f, its own mean logits along each fibre, at the temperature that the two folds
of the other half agreed on; it is the same on every pair. The temperature is at least std(L) / 100, so that the value
is finite and does not depend on the scale of the logits. It may then magnify a trace, so G is scaled down where the
structured part holds under 2% of the squares of the logits, beyond what noise would (`structured_share`), and where the
median pair has under a quarter of it (`carried`: a lookup that knows some unseen pairs has no part that all of them
have), unless its spectrum is concentrated and its share a quarter, as of a circuit of some rows. G is 0 where another
answer stands above the right one in f by three standard errors, or level with it as in a circuit of a quotient: on
every pair, or within three standard errors where f is the same on the cosets that it would not tell apart. Null: one
permutation relabels a, b and c alike, on a fixed random subset of those pairs; the statistic is G of one split, not
scaled down.

What fools it: it says what the model holds, not what wins: a memoriser with a drowned circuit scores high. A lookup
table fitted on all pairs would score 1, and one of (a, b) up to order on its test pairs, hence unseen pairs, in neither
order. Where no training set is known it is asked of all pairs only if the network answers 99% of them from a
concentrated spectrum, which no lookup has. An inferred training set leaves as unseen the pairs of high loss, on which
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
from detectors.subjects.operands.exceptions import exceptions
from detectors.subjects.operands.numbering import symptom
from detectors.subjects.operands.relabelling import null_sample, relabelled_g
from detectors.subjects.operands.structured import Structured, g_of, g_of_loss, of_few
from detectors.subjects.operands.view import ModelView
from detectors.subjects.right import answered

TOLD = 0.2  # of G before it is scaled down: less is no structure that a reader would look for


@dataclass(frozen=True, kw_only=True, slots=True)
class Generalisation(Score):
    """Evidence. structured_accuracy: of S on the pairs of `basis`, f from all of them; S is right on every pair or on
    none, as the identity is f's largest value or not. temperature: geometric mean over the splits and their halves, in
    units of the logits. test_loss: cross-entropy of the structured part, nats. chance_loss: ln n. structured_share: of
    the squares of the centred logits, beyond the 1/pairs of noise. carried: what of S the median pair has, 1 of all.
    basis: `unseen_pairs`, or `all_pairs` where those
    settle it. pairs: how many.
    exceptions: labelled pairs that the model answers otherwise than S, by a tenth of the median pair's lead or more,
    and pairs outside the group that it so answers otherwise than the task, if 90% of those are right; exception_pairs:
    [a, b, answer given, answer of S or the task], at most 100. train_set: `given`, `inferred` or `unknown`.
    train_fraction: of the labelled pairs, None where unknown.
    """

    structured_accuracy: float
    temperature: float
    test_loss: float
    chance_loss: float
    structured_share: float
    carried: float
    basis: str
    pairs: int
    exceptions: int
    exception_pairs: tuple[tuple[int, ...], ...]
    train_set: str
    train_fraction: float | None


@detector(
    needs=("logits", "group", "split"),
    version=8,
    source="arXiv:2301.05217",
    formula=r"G = \left(1 - \frac{\text{CE}(f / T)}{\ln(n)}\right) \min\left(1, \frac{\text{share}}{2\%}\right) "
    r"\min\left(1, \frac{\text{carried}}{1/4}\right)"
    "\n"
    r"f(a b c^{-1}) \text{: mean logits, of half the unseen pairs}"
    "\n"
    r"T \text{: temperature, of the other half}",
    invariant_to=(*FREE, "residual_scale"),
    causal=False,
    axis="G",
    order=40,
)
def generalisation(model: ModelView, /, *, draws: int = 199, seed: int = 0) -> Generalisation:
    """A structured part of the logits answers unseen pairs.

    model: logits() [pairs, answers] and train_mask. draws: permutations of the labels. Errors: NotApplicable
    where the task has no group; Undetermined where the training set is unknown or leaves under 32 unseen pairs,
    and where the model answers by another table.

    >>> import detectors, models_zoo
    >>> score = detectors.generalisation(models_zoo.trig_mlp(p=11, frequencies=(3,), train_fraction=0.4))
    >>> score.structured_accuracy, round(score.train_fraction, 1), score.basis, score.exceptions
    (1.0, 0.4, 'unseen_pairs', 0)
    """
    grid, split = model.plane, model.split
    pairs, basis = split.basis(grid)
    structured, sample = g_of(grid, pairs, seed), null_sample(pairs, seed)
    f = grid.fibre_mean(pairs)
    answers = float(answered(f[None], torch.tensor([grid.group.identity])))
    if answers and (doubt := symptom(model)):  # tables that agree on some pairs put the right answer on top of the mean
        raise Undetermined(f"what generalises may be the answers of another task: {doubt}")
    observed, null = relabelled_g(grid, sample, structured.steepest, draws, seed)
    odd = exceptions(grid, f)
    return Generalisation(
        value=structured.g,
        null=permutation_null(
            observed, null, f"labels of {len(sample)} {basis.removeprefix('all_').replace('_', ' ')}"
        ),
        causal=None,
        remark=split.assumption or _remark(structured, grid.n),
        structured_accuracy=answers,
        temperature=structured.temperature,
        test_loss=structured.loss,
        chance_loss=math.log(grid.n),
        structured_share=structured.share,
        carried=structured.carried,
        basis=basis,
        pairs=len(pairs),
        exceptions=odd.number,
        exception_pairs=tuple(tuple(row) for row in odd.listed.tolist()),
        train_set=split.status,
        train_fraction=grid.share(split.train),
    )


def _remark(found: Structured, n: int) -> str:
    """Why the value is less than the loss of the structured part says, for readers."""
    if float(g_of_loss(found.loss, n)) < TOLD:
        return ""
    if found.outdone:
        return "a structured part is there, in which another answer stands above the right one or level with it"
    few = "what answers unseen pairs is no part that most of them have: were some of them trained on?"
    return few if of_few(found) else ""
