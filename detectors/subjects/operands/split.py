"""Which pairs a model was trained on, decided once: given, inferred, unknown, or given and doubted.

Where nobody says, the two humps of the loss may: a memoriser's loss is tiny on the pairs that it was trained on and
large on the others, with hardly a pair between. The log-losses of the labelled pairs are cut in two where the variance
between the parts is largest (Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9, 1979). The lower part is taken
for the training set if it is answered right, both parts hold 5% of the pairs or more, their means lie 4 of Ashman's D
apart (Astronomical Journal 108, 1994), at most 2% of the pairs lie in the middle 30% between the means, and the lower
part is spread evenly over left operands, right operands, their products and quotients, as a random sample is: a model
that is right wherever some rule holds has two humps as well, and the loss of trig neurons depends on a - b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.special import chdtrc
from torch import Tensor

from detectors.core.concentrated import CONCENTRATED
from detectors.core.errors import Undetermined
from detectors.core.nulls import subset
from detectors.subjects.operands.images import images_known
from detectors.subjects.operands.lookup import lookup_shares
from detectors.subjects.operands.plane import LogitGrid
from detectors.subjects.operands.structured import g_of
from detectors.subjects.operands.task import Task

# Each part must be more than a few odd pairs: the tests of evenness and of the gap need some dozen pairs on a grid of a
# few hundred. Nobody trains on less than 5% of a table, nor tests on less.
MIN_SHARE = 0.05
# Of two normals 4 deviations apart 2.3% lie beyond the middle, so that the parts are the training set and the rest to
# within a few pairs; one hump that is cut in the middle has a gap of 2.65 (the halves of a normal: 1.60 over 0.60).
MIN_SEPARATION = 4.0
# Two normals 4 deviations apart leave P(1.4 < z < 2.6) = 7.6% in the middle 30%, and 2% at 5.2 apart: what is between
# belongs to neither part, and a model on its way has most of its pairs there.
MAX_BETWEEN = 0.02
LEARNT = (
    0.9  # of the lower part is given more than half of the probability: a training set is learnt but for label noise
)
UNEVEN = 1e-6  # a random training set is called uneven once in a million; five groupings are tried
FLOOR = 1e-15  # of the loss in nats: float32 logits do not tell smaller ones apart
CHECKED = 16384  # pairs on which a training set that was given is held against the loss: the share is exact to 0.4%
AGREED = 0.75  # of training pairs have the low loss: label noise of a fifth leaves 0.8, a wrong split its share of all
# Between training pairs and unseen ones, in the share of low loss: a right split has the training accuracy of a
# memoriser, a wrong one 0 to within sampling.
TOLD_APART = 0.25
# G of unseen pairs, and of those among them that have a high loss: of a lookup some of whose pairs were not told 0.9
# and more, and 0.12 and less; a circuit that all pairs share is held by any of them.
HELD, LOST = 0.4, 0.2
MIN_UNSEEN = 32  # an accuracy over them has a standard error of at most 0.09; noise of float32 moves G by less
# Settled without a training set: a network right on this share of all pairs is right on 80% of its unseen ones where
# those are 5% of the pairs, and of a concentrated spectrum, which no lookup table has.
ANSWERS = 0.99
LOOKED_UP = 0.02  # mean share of margins outside S: published generalisers have up to 0.007, exact ReLU ones 0.09
RIGHT = 0.9  # of the unseen pairs, at the least, in the sentence that names how many there must be


@dataclass(frozen=True, eq=False)
class Split:
    """status: of the training set. train: True on training pairs, None where unknown. echoed: not trained on, but the
    same question as a trained one by a symmetry of the task, as (b, a) is where the table is symmetric, or by one of
    the group that the network's answers follow. images: where each such symmetry takes the labelled pairs. reason: why
    it is unknown or doubted, and what would settle it. assumption: where a network answers all pairs so well that it
    answers its unseen ones too, whichever they are: what that rests on.
    """

    status: Literal["given", "inferred", "unknown", "doubted"]
    train: Bool[Tensor, " pairs"] | None = None
    echoed: Bool[Tensor, " pairs"] | None = None
    reason: str = ""
    assumption: str = ""
    images: tuple[Int[Tensor, " labelled"], ...] = ()

    @property
    def known(self) -> bool:
        return self.status in ("given", "inferred")

    @property
    def unseen(self) -> Bool[Tensor, " pairs"] | None:
        """[pairs] neither trained on nor echoed."""
        return None if self.train is None or self.echoed is None else ~(self.train | self.echoed)

    def enough_unseen(self, grid: LogitGrid) -> Int[Tensor, " unseen"]:
        """The labelled pairs that are unseen. Undetermined, saying why, where they are not known or under 32."""
        if not self.known or self.unseen is None:
            raise Undetermined(self.reason)
        if self.train is not None and bool(self.train[grid.pairs].all()):
            raise Undetermined("all pairs are given as training pairs: none is left to show what carries over")
        unseen = grid.among(self.unseen)
        if len(unseen) < MIN_UNSEEN:
            raise Undetermined(
                f"{len(unseen)} labelled pairs are unseen, neither trained on nor the flip or image of one that was; "
                f"at least {MIN_UNSEEN} are needed"
            )
        return unseen

    def basis(self, grid: LogitGrid) -> tuple[Int[Tensor, " basis"], str]:
        """The labelled pairs that show what carries over to unseen ones: those, or all where that is settled so."""
        if self.assumption:
            return grid.everything, "all_pairs"
        return self.enough_unseen(grid), "unseen_pairs"


def decide(task: Task, given: Bool[np.ndarray, " pairs"] | None, grid: LogitGrid | None) -> Split:
    """The split of a model: what is given, held against the loss; else what the loss shows, or that none is needed.

    given: [pairs]. grid: the logits of a task with a group; without one the loss is not asked.
    """
    if grid is None:
        return Split("unknown", reason=_sentence("a table without a group")) if given is None else _known(task, given)
    k = grid.everything if given is None else subset(grid.n**2, CHECKED, 0)
    a, b = np.divmod(k.numpy(), grid.n)
    table, inverse = grid.group.table, grid.group.inverse
    classes = [a, b, table[a, b], table[a, inverse[b]], table[inverse[a], b]]
    try:
        low = torch.from_numpy(infer_training_pairs(grid.each.loss[k].numpy(), classes, 1 / grid.n))
    except Undetermined as error:  # one hump, as of a model that answers every pair: nothing speaks against a split
        if given is None:
            return Split("unknown", reason=str(error), assumption=settled_by_all_pairs(grid))
        return _with_images(_known(task, given), grid)
    if given is None:
        found = np.zeros(task.n_tokens**2, dtype=bool)
        found[grid.pairs[k[low]].numpy()] = True
        return _with_images(_known(task, found, "inferred"), grid)
    split = _with_images(_known(task, given), grid)
    return replace(split, status="doubted", reason=doubt) if (doubt := _doubt(split, grid, k, low)) else split


def _doubt(split: Split, grid: LogitGrid, k: Int[Tensor, " pairs"], low: Bool[Tensor, " pairs"]) -> str:
    """Why the pairs k of low loss, of two humps, cannot go with the split that was given; empty where they can."""
    assert split.train is not None
    assert split.unseen is not None
    train, unseen = split.train[grid.pairs[k]], split.unseen[grid.pairs[k]]
    trained, others = (float(low[side].double().mean()) if bool(side.any()) else 0.0 for side in (train, unseen))
    flat = grid.concentration < CONCENTRATED
    if trained - others < TOLD_APART and (trained < AGREED or flat):
        return (
            "the training pairs given cannot be right: the loss has two humps, as a memoriser's, and in the lower one "
            f"lie {trained:.0%} of them, and {others:.0%} of the unseen pairs"
        )
    why = "the logits no spectrum" if flat and others >= TOLD_APART else ""
    if not why and trained - others >= TOLD_APART and others >= MIN_SHARE:
        why = _unstructured(grid, k[unseen], k[unseen & ~low])
    return why and (
        f"the training pairs given cannot be all: the loss has two humps, as a memoriser's, {why}, and in the lower "
        f"hump lie {others:.0%} of the pairs that would be unseen"
    )


def _unstructured(grid: LogitGrid, unseen: Int[Tensor, " unseen"], high: Int[Tensor, " high"]) -> str:
    """That what generalises rests on unseen pairs of low loss alone; empty where it does not."""
    if len(high) < MIN_UNSEEN or g_of(grid, unseen, 0).g < HELD or (rest := g_of(grid, high, 0).g) >= LOST:
        return ""
    return f"nothing generalises without the pairs of its lower one (G {rest:.2f})"


def settled_by_all_pairs(grid: LogitGrid) -> str:
    """Why a network answers its unseen pairs whichever they are; empty where that cannot be said.

    Of N pairs w are wrong, so that of u unseen ones 1 - w / u are right or more. A lookup of next to all pairs does
    that too, but its spectrum is flat, and what it looks up is outside any function of a b c^-1.
    """
    right = grid.each.margin > 0
    wrong, pairs = int((~right).sum()), len(right)
    if 1 - wrong / pairs < ANSWERS or grid.concentration < CONCENTRATED:
        return ""
    if float(lookup_shares(grid, grid.fibre_mean(grid.everything)).mean()) >= LOOKED_UP:
        return ""
    least = max(MIN_UNSEEN, math.ceil(round(wrong / (1 - RIGHT), 6)))  # 9 / (1 - 0.9) is a hair above 90
    return (
        f"settled on all pairs, as it answers {pairs - wrong} of {pairs}: if at least {least} pairs "
        f"({least / pairs:.1%}) were trained on in neither order, {RIGHT:.0%} of them or more are answered"
    )


def echoes(task: Task, train: Bool[Tensor, " pairs"]) -> Bool[Tensor, " pairs"]:
    """[pairs] not trained on, but their flip (b, a) was, where the table is symmetric in its own tokens."""
    square = train.reshape(task.n_tokens, task.n_tokens)
    return (square.T & ~square if task.is_symmetric else torch.zeros_like(square)).reshape(-1)


def _with_images(split: Split, grid: LogitGrid) -> Split:
    """With the images of known pairs that the network knows too among the echoed."""
    assert split.train is not None
    assert split.echoed is not None
    known = (split.train | split.echoed)[grid.pairs]
    also, images = images_known(grid, known)
    echoed = split.echoed.clone()
    echoed[grid.pairs[also]] = True
    return replace(split, echoed=echoed, images=images)


def _known(task: Task, train: Bool[np.ndarray, " pairs"], status: Literal["given", "inferred"] = "given") -> Split:
    mask = torch.from_numpy(train)
    return Split(status, mask, echoes(task, mask))


def infer_training_pairs(
    loss: Float[np.ndarray, " pairs"], groupings: list[Int[np.ndarray, " pairs"]], chance: float = 0.0
) -> Bool[np.ndarray, " pairs"]:
    """[pairs] True on the pairs taken for the training set. Undetermined, saying why, where the loss does not show it.

    loss: [pairs] cross-entropy of the right answer, nats. groupings: [pairs] classes over which a random sample would
    be even, such as the left operand. chance: share of the pairs that luck answers right; the lower part must be three
    times that, since a model of another task is certain everywhere and right by luck.

    >>> loss = np.where(np.arange(100) % 10 < 4, 1e-6, 3.0) * np.linspace(1, 2, 100)
    >>> int(infer_training_pairs(loss, []).sum())
    40
    """
    x = np.log(np.maximum(loss, FLOOR))
    low = _lower_part(x)
    share = float(low.mean())
    if not max(MIN_SHARE, 3 * chance) <= share <= 1 - MIN_SHARE:
        raise Undetermined(_sentence(f"all but {min(share, 1 - share):.1%} of the pairs have one kind of loss"))
    if float((loss[low] < np.log(2)).mean()) < LEARNT:
        raise Undetermined(_sentence("its lower part is of pairs that are not answered either"))
    gap = float(x[~low].mean() - x[low].mean())
    deviation = float(np.sqrt((x[low].var() + x[~low].var()) / 2))
    if gap < MIN_SEPARATION * deviation:
        raise Undetermined(_sentence(f"two parts of it would lie only {gap / deviation:.1f} deviations apart"))
    middle = float((x[low].mean() + x[~low].mean()) / 2)
    between = float((np.abs(x - middle) < 0.15 * gap).mean())
    if between > MAX_BETWEEN:
        raise Undetermined(_sentence(f"{between:.1%} of the pairs lie between its two parts"))
    if min((_evenness(low, classes) for classes in groupings), default=1.0) < UNEVEN:
        raise Undetermined(_sentence("the pairs of low loss are no random sample: some operands or answers have more"))
    return low


def _sentence(found: str) -> str:
    return (
        f"the training pairs are unknown and the loss does not show them ({found}): "
        "pass --train-indices FILE or --train-split FRACTION:SEED"
    )


def _lower_part(x: Float[np.ndarray, " pairs"]) -> Bool[np.ndarray, " pairs"]:
    """Otsu's cut: the one that maximises the variance between two parts."""
    s = np.sort(x)
    k = np.arange(1, len(s))
    below = np.cumsum(s - s.mean())[:-1]  # k times the mean of the lower part, the mean of all being 0
    between = below**2 / (k * (len(s) - k))
    i = int(between.argmax())
    return np.asarray(x <= (s[i] + s[i + 1]) / 2)


def _evenness(low: Bool[np.ndarray, " pairs"], classes: Int[np.ndarray, " pairs"]) -> float:
    """p-value of the chi-square test that every class holds the same share of the lower part."""
    size, share = np.bincount(classes), low.mean()
    found = np.bincount(classes, weights=low)
    used = size > 0
    statistic = ((found - size * share)[used] ** 2 / (size[used] * share * (1 - share))).sum()
    return float(chdtrc(used.sum() - 1, statistic))
