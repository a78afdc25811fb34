"""Shares of independent parents with exact bounds, and areas under the curve."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from scipy.stats import beta, mannwhitneyu


def rate(found: Iterable[tuple[str, bool]], *, every: bool) -> dict[str, Any]:
    """Of (parent, hit): parents hit, of how many, and the bounds of their share, each one-sided at 95%.

    every: a parent counts where all that descends from it is hit (what was found), else where any is (false alarms).
    Clopper and Pearson, Biometrika 26, 1934.

    >>> rate([("a", True), ("b", True), ("b", False)], every=True)
    {'count': 1, 'of': 2, 'low': 0.0253, 'high': 0.9747}
    >>> rate([(str(i), False) for i in range(149)], every=False)["high"]
    0.0199
    """
    parents: dict[str, list[bool]] = defaultdict(list)
    for parent, hit in found:
        parents[parent].append(hit)
    of = len(parents)
    count = sum((all if every else any)(hits) for hits in parents.values())
    low = beta.ppf(0.05, count, of - count + 1) if count else 0.0
    high = beta.ppf(0.95, count + 1, of - count) if count < of else 1.0
    return {"count": count, "of": of, "low": round(float(low), 4), "high": round(float(high), 4)}


def area(positives: list[float], negatives: list[float]) -> float:
    """The chance that a positive's value is above a negative's, ties half: the area under the ROC curve.

    >>> area([0.9, 0.5], [0.5, 0.1])
    0.875
    """
    u = mannwhitneyu(positives, negatives).statistic
    return round(float(u / (len(positives) * len(negatives))), 4)
