"""When will unseen pairs be answered? A forecast from the checkpoints so far.

Of a prefix that ends at step t, e steps after its first, y = log((T - t) / e) is predicted, T being the step at which
accuracy on unseen pairs passes 99%: by a straight line in what the prefix shows now, one line before a circuit forms
and two behind that, by whether the accuracy moves. The interval is of the quantiles of what the lines leave, by Kaplan
and Meier, so that runs that were never right within their budget count as long as they lasted; where these do not reach
the upper end, too many such runs were never right, and `high` is null. Nothing depends on the unit of the steps, or on
where they begin.

`python -m models_zoo.forecasting` fits it on half of the runs of `models_zoo/forecast.parquet`, and says how good it is
on the other half: docs/forecast.md. Sources: Kaplan and Meier, JASA 53 (1958); accelerated failure time by censored
normal regression, Tobin, Econometrica 26 (1958).
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from detectors.series.story import Figures, Story

ANSWERED = 0.99
GOAL = math.log(ANSWERED / (1 - ANSWERED))
FORMING = 0.1  # of G: what memorises has less, and a circuit that forms has more within a few checkpoints
MOVING = 1.0  # of the change: no fitted run that answered 10 to 90% of unseen pairs with less was ever answered
BACK = 1.3  # a change is since the last checkpoint before this part of the steps so far
CLIP = 0.02  # an accuracy is taken to lie between this and 1 less it, where its logit is asked for
NEED = "a forecast needs two checkpoints, and G, M and the accuracy on unseen pairs at the last of them"


def forecast(story: Story) -> dict[str, Any]:
    """`forming`: whether a circuit is on its way at the last checkpoint, G being 0.1 or more; null where G is unknown.
    `interval`: of the step, [low, high] with high null where it may never come; or null. `level`: how often the
    interval is meant to hold the step. `reason`: there where `interval` is null.

    >>> forecast(Story(steps=[0], accuracy={"unseen": [0.1]}, motifs={}))["reason"] == NEED
    True
    """
    unseen = story.accuracy.get("unseen") or story.unknown
    g = story.g[-1] if story.steps else None
    found = {"forming": None if g is None else g >= FORMING, "interval": None, "level": fitted()["level"]}
    for step, accuracy in zip(story.steps, unseen, strict=True):
        if accuracy is not None and accuracy >= ANSWERED:
            return {**found, "reason": f"it is over: {accuracy:.1%} of unseen pairs were answered at step {step}"}
    x = features(story.steps, unseen, story.g, story.m, story.membership)
    if x is None:
        return {**found, "reason": NEED}
    now, elapsed = story.steps[-1], story.steps[-1] - story.steps[0]
    middle = float(x @ np.array(fitted()["lines"][line_of(x)]))
    low, high = (None if q is None else now + elapsed * math.exp(middle + q) for q in fitted()["left"][stage(x)])
    return {**found, "interval": [math.floor(low or now), None if high is None else math.ceil(high)]}


def features(
    steps: Sequence[int], unseen: Figures, g: Figures, m: Figures, membership: Figures
) -> Float[np.ndarray, " 6"] | None:
    """Of a prefix at its last checkpoint: 1; logs of how far the logit of the accuracy is from that of 99%, and of its
    change while the steps grow by a factor of e; G, M, membership advantage. None where it does not show them.
    """
    known = [(s - steps[0], logit(a)) for s, a in zip(steps, unseen, strict=True) if a is not None]
    last = [column[-1] for column in (unseen, g, m, membership)] if len(steps) > 1 else [None]
    if None in last or len(known) < 2 or known[-1][0] <= 0:
        return None
    gap = GOAL - known[-1][1]
    return np.array([1.0, math.log(gap), math.log(max(change(known), 0.1)), *last[1:]], dtype=float)


def change(known: Sequence[tuple[float, float]]) -> float:
    """Of the last of some values, each behind its steps, by the logarithm of the steps.

    >>> round(change([(0, 0.0), (100, 0.0), (1000, 2.3)]), 2)
    1.0
    """
    (now, value), before = known[-1], known[:-1]
    then, other = next((k for k in reversed(before) if BACK * k[0] <= now), before[0])
    return (value - other) / math.log(now / max(then, now / 10))


def logit(accuracy: float) -> float:
    """Of an accuracy, kept off 0 and 1."""
    clipped = min(max(accuracy, CLIP), 1 - CLIP)
    return math.log(clipped / (1 - clipped))


def line_of(x: Float[np.ndarray, " 6"]) -> str:
    """Which of the lines: before a circuit forms, and behind it by whether the accuracy moves."""
    if x[3] < FORMING:
        return "before"
    return "moving" if x[2] >= math.log(MOVING) else "slow"


def stage(x: Float[np.ndarray, " 6"]) -> str:
    """Which of the quantiles: by the line, and of the moving by whether the accuracy is over one half."""
    line = line_of(x)
    return line if line != "moving" else "late" if x[1] <= math.log(GOAL) else "early"


@cache
def fitted() -> dict[str, Any]:
    """lines: coefficients of the features. left: lower and upper quantile of what they leave. level: of both."""
    found: dict[str, Any] = json.loads(Path(__file__).with_name("forecast.json").read_text())
    return found
