"""Which pairs a model was trained on, where nobody says: the two humps of its loss.

A memoriser's loss is tiny on the pairs that it was trained on and large on the others, with hardly a pair between. The
log-losses of the labelled pairs are cut in two where the variance between the parts is largest (Otsu, IEEE
Transactions on Systems, Man, and Cybernetics 9, 1979). The lower part is taken for the training set if it is answered
right, both parts hold 5% of the pairs or more, their means lie 4 of Ashman's D apart (Astronomical Journal 108, 1994),
at most 2% of the pairs lie in the middle 30% between the means, and the lower part is spread evenly over left operands,
right operands, their products and quotients, as a random sample is: a model that is right wherever some rule holds has
two humps as well, and the loss of trig neurons depends on a - b.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from detectors.core.errors import Undetermined
from detectors.core.groups import Floats, Ints

MIN_SHARE, MIN_SEPARATION, MAX_BETWEEN = 0.05, 4.0, 0.02
LEARNT = 0.9  # of the lower part is given more than half of the probability
UNEVEN = 1e-6  # a random training set is called uneven once in a million
FLOOR = 1e-15  # of the loss in nats: float32 logits do not tell smaller ones apart

Bools = NDArray[np.bool_]


def infer_training_pairs(loss: Floats, groupings: list[Ints], chance: float = 0.0) -> Bools:
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


def _lower_part(x: Floats) -> Bools:
    """Otsu's cut: the one that maximises the variance between two parts."""
    s = np.sort(x)
    k = np.arange(1, len(s))
    below = np.cumsum(s - s.mean())[:-1]  # k times the mean of the lower part, the mean of all being 0
    between = below**2 / (k * (len(s) - k))
    i = int(between.argmax())
    return np.asarray(x <= (s[i] + s[i + 1]) / 2)


def _evenness(low: Bools, classes: Ints) -> float:
    """p-value of the chi-square test that every class holds the same share of the lower part."""
    size, share = np.bincount(classes), low.mean()
    found = np.bincount(classes, weights=low)
    used = size > 0
    statistic = ((found - size * share)[used] ** 2 / (size[used] * share * (1 - share))).sum()
    return float(chi2.sf(statistic, used.sum() - 1))
