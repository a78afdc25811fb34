"""The forecast of a series, fitted: a censored regression on what prefixes of runs show.

`forecast.parquet` holds the scores of the runs of `tools/forecast_runs.py`. Half of them, drawn before anything was
looked at, are fitted on; how good it is on the other half, `models_zoo.forecasting` says.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from detectors.series import forecast as shipped

FILE = Path(__file__).with_name("forecast.parquet")
LEVEL = 0.8  # of the intervals
RIDGE = 1e-2
FOLDS = 8  # of the runs, for residuals of lines that have not seen the run
COLUMNS = ("accuracy_unseen", "G", "M", "membership")
Features = Float[np.ndarray, " feature"]


@dataclass(frozen=True)
class Run:
    """columns: by checkpoint, each at one of steps. answered: the step at which 99% of unseen pairs were, None where
    they never were until `lasted`. budget: the steps it was given; whole: that the clock did not end it.
    """

    number: int
    steps: list[int]
    columns: dict[str, list[float | None]]
    answered: int | None
    lasted: int
    budget: int
    whole: bool

    @property
    def end(self) -> int:
        return self.lasted if self.answered is None else self.answered

    def cuts(self) -> list[int]:
        """Lengths of the prefixes that a forecast is asked of: two checkpoints or more, and it is not over."""
        return [k for k in range(2, len(self.steps) + 1) if self.steps[k - 1] < self.end]


def runs(file: Path = FILE) -> list[Run]:
    """All runs, in the order of their numbers."""
    import pandas as pd

    found = []
    for number, table in pd.read_parquet(file).groupby("run"):
        rows = table.sort_values("step")
        first = rows.iloc[0]
        columns = {
            name: [None if math.isnan(v) else float(v) for v in rows[name]] for name in (*COLUMNS, "weight_norm")
        }
        answered = None if math.isnan(first.answered) else int(first.answered)
        steps = [int(step) for step in rows.step]
        sizes = (int(first.lasted), int(first.budget), bool(first.ended != "clock"))
        found.append(Run(int(number), steps, columns, answered, *sizes))
    return found


def halves(every: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Fitted on, and held out."""
    order = np.random.default_rng(0).permutation(len(every))
    return [every[i] for i in sorted(order[::2])], [every[i] for i in sorted(order[1::2])]


class Look(NamedTuple):
    """What is seen of a prefix: features of the first k checkpoints, and which line is theirs."""

    of: Callable[[Run, int], Features | None]
    line: Callable[[Features], str] = lambda x: "one"


def _all(run: Run, k: int) -> Features | None:
    return shipped.features(run.steps[:k], *(run.columns[name][:k] for name in COLUMNS))


def _accuracy(run: Run, k: int) -> Features | None:
    x = _all(run, k)
    return None if x is None else x[:3]


def _norm(run: Run, k: int) -> Features:
    log = [math.log((w or 1.0) / (run.columns["weight_norm"][0] or 1.0)) for w in run.columns["weight_norm"][:k]]
    moved = shipped.change([(s - run.steps[0], w) for s, w in zip(run.steps, log, strict=False)])
    return np.array([1.0, log[-1], max(log) - log[-1], moved])


LOOKS = {
    "the forecast": Look(_all, shipped.line_of),
    "accuracy on unseen pairs alone": Look(_accuracy),
    "weight norm alone": Look(_norm),
}


class Prefixes(NamedTuple):
    """A row a prefix. y: log((T - t) / t), a lower bound where censored."""

    x: Float[np.ndarray, "prefix feature"]
    y: Float[np.ndarray, " prefix"]
    censored: Bool[np.ndarray, " prefix"]
    run: Float[np.ndarray, " prefix"]

    def where(self, mask: Bool[np.ndarray, " prefix"]) -> Prefixes:
        return Prefixes(*(column[mask] for column in self))


def prefixes(some: Sequence[Run], look: Look) -> Prefixes:
    rows = []
    for run in some:
        for k in run.cuts():
            if (x := look.of(run, k)) is not None:
                ahead = math.log((run.end - run.steps[k - 1]) / (run.steps[k - 1] - run.steps[0]))
                rows.append((x, ahead, run.answered is None, float(run.number)))
    return Prefixes(*(np.array(column) for column in zip(*rows, strict=True)))


def straight(of: Prefixes) -> Features:
    """b of y = x b + s e, e normal: maximum likelihood with a small ridge on coefficients in units of their spread."""
    from scipy.optimize import minimize
    from scipy.stats import norm

    scale = np.maximum(of.x.std(0), 1e-3)
    scale[0] = 1.0

    def loss(theta: Features) -> float:
        e = (of.y - of.x / scale @ theta[:-1]) / np.exp(theta[-1])
        likely = np.where(of.censored, norm.logsf(e), norm.logpdf(e) - theta[-1])
        return float(-likely.mean() + RIDGE * (theta[1:-1] ** 2).sum())

    found: Features = minimize(loss, np.zeros(of.x.shape[1] + 1), method="L-BFGS-B").x[:-1] / scale
    return found


def lines(of: Prefixes, look: Look) -> dict[str, Features]:
    which = np.array([look.line(x) for x in of.x])
    return {str(name): straight(of.where(which == name)) for name in np.unique(which)}


def left_over(of: Prefixes, look: Look) -> Float[np.ndarray, " prefix"]:
    """Residuals, each of lines that were fitted without that eighth of the runs."""
    found = np.zeros(len(of.y))
    for fold in np.array_split(np.random.default_rng(1).permutation(np.unique(of.run)), FOLDS):
        out = np.isin(of.run, fold)
        fitted = lines(of.where(~out), look)
        found[out] = [y - x @ fitted[look.line(x)] for x, y in zip(of.x[out], of.y[out], strict=True)]
    return found


def quantile(values: Float[np.ndarray, " prefix"], censored: Bool[np.ndarray, " prefix"], p: float) -> float | None:
    """By Kaplan and Meier; None where their curve does not come so far.

    >>> values, censored = np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True])
    >>> quantile(values, censored, 0.5), quantile(values, censored, 0.9)
    (2.0, None)
    """
    from scipy.stats import CensoredData, ecdf

    survival = ecdf(CensoredData.right_censored(values, censored)).sf
    below = survival.quantiles[survival.probabilities <= 1 - p + 1e-9]
    return float(below[0]) if len(below) else None


def fit(some: Sequence[Run]) -> dict[str, Any]:
    """What `detectors/series/forecast.json` holds. The upper quantile is of all runs; the lower one of those that were
    answered, since an interval speaks of when it comes if it does, and since of these the late ones are missing, it
    errs to the early side.
    """
    look = LOOKS["the forecast"]
    of = prefixes(some, look)
    rest, stages = left_over(of, look), np.array([shipped.stage(x) for x in of.x])
    left = {}
    for name in np.unique(stages):
        own, censored = rest[stages == name], of.censored[stages == name]
        high = quantile(own, censored, (1 + LEVEL) / 2)
        low = float(np.quantile(own[~censored], (1 - LEVEL) / 2))
        left[str(name)] = [round(low, 3), None if high is None else round(high, 3)]
    return {
        "level": LEVEL,
        "lines": {name: [round(float(b), 4) for b in line] for name, line in lines(of, look).items()},
        "left": left,
        "runs": len(some),
    }
