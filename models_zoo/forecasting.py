"""Fit the forecast of a series, and say how good it is on the runs held out: `python -m models_zoo.forecasting`.

It writes `detectors/series/forecast.json` and prints the tables of docs/forecast.md.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detectors.series import forecast as shipped
from models_zoo.forecast_fit import LOOKS, Features, Look, Run, fit, halves, lines, prefixes, runs

SHARES = (0.02, 0.05, 0.1, 0.25)  # of the budget
FALSE = 0.1  # of the runs without an answer may be called
Statistic = Callable[[Sequence[Any]], float]
Chance = Callable[[Run, int], float]


def chance(fitted: dict[str, Features], look: Look) -> Chance:
    """Of a run and k: rises with the chance that it is answered within its budget, as seen after k checkpoints."""

    def found(run: Run, k: int) -> float:
        x, now = look.of(run, k), run.steps[k - 1]
        if x is None:
            return -math.inf
        return math.log(max(run.budget - now, 1) / (now - run.steps[0])) - float(x @ fitted[look.line(x)])

    return found


def seen_at(share: float, of: Chance, some: Sequence[Run]) -> list[tuple[float, bool]]:
    """Chances, and whether it came to be, of the runs that were not over at that share of their budget."""
    found = []
    for run in some:
        cuts = [k for k in run.cuts() if run.steps[k - 1] <= share * run.budget]
        if cuts and run.whole and run.end > share * run.budget:
            found.append((of(run, cuts[-1]), run.answered is not None))
    return found


def area(found: Sequence[tuple[float, bool]]) -> float:
    """AUROC, after Mann and Whitney."""
    from scipy.stats import rankdata

    ranks, came = rankdata([value for value, _ in found]), np.array([came for _, came in found])
    k, m = int(came.sum()), int((~came).sum())
    return float((ranks[came].sum() - k * (k + 1) / 2) / (k * m)) if k and m else math.nan


def bound(of: Chance, some: Sequence[Run]) -> float:
    """The least that no more than a tenth of the runs without an answer ever pass."""
    without = [max(of(run, k) for k in run.cuts()) for run in some if run.whole and run.answered is None]
    return float(np.nextafter(sorted(without, reverse=True)[int(FALSE * len(without))], math.inf))


def alarms(of: Chance, at: float, some: Sequence[Run]) -> list[tuple[Run, int | None]]:
    """Each run with the first step at which it was called."""
    return [(run, next((run.steps[k - 1] for k in run.cuts() if of(run, k) >= at), None)) for run in some]


def called(found: Sequence[tuple[Run, int | None]]) -> float:
    """Share of the runs with an answer that were called before it."""
    return float(np.mean([step is not None for run, step in found if run.answered is not None]))


def false(found: Sequence[tuple[Run, int | None]]) -> float:
    """Share of the runs without one that were called."""
    return float(np.mean([step is not None for run, step in found if run.whole and run.answered is None]))


def lead(found: Sequence[tuple[Run, int | None]]) -> float:
    """Median over the runs with an answer of the part of their steps still to come; 0 of one that was not called."""
    ahead = [0.0 if step is None else 1 - step / run.answered for run, step in found if run.answered]
    return float(np.median(ahead)) if ahead else math.nan


class Forecast(NamedTuple):
    """Of one prefix. left: the residual, a lower bound where censored. low, high: quantiles that the interval is of."""

    stage: str
    left: float
    censored: bool
    low: float
    high: float


def forecasts(run: Run, fitted: dict[str, Any]) -> list[Forecast]:
    """Of every prefix of a run."""
    found = []
    of = prefixes([run], LOOKS["the forecast"]) if run.cuts() else None
    for x, y in zip(of.x, of.y, strict=True) if of else ():
        low, high = fitted["left"][shipped.stage(x)]
        left = float(y - x @ np.array(fitted["lines"][shipped.line_of(x)]))
        found.append(Forecast(shipped.stage(x), left, run.answered is None, low, math.inf if high is None else high))
    return found


def certain(some: Sequence[Forecast]) -> float:
    """Share of the intervals that hold the step, whatever becomes of runs behind their last step."""
    return float(np.mean([f.low <= f.left and (f.high == math.inf if f.censored else f.left <= f.high) for f in some]))


def possible(some: Sequence[Forecast]) -> float:
    """Share of those that hold it if unanswered runs are answered where that suits."""
    return float(np.mean([f.left <= f.high and (f.censored or f.low <= f.left) for f in some]))


def answered(some: Sequence[Forecast]) -> float:
    """Share of the intervals of answered runs that hold the step."""
    own = [f.low <= f.left <= f.high for f in some if not f.censored]
    return float(np.mean(own)) if own else math.nan


def estimated(some: Sequence[Forecast]) -> float:
    """By Kaplan and Meier on the residuals: an unanswered run is answered as late as those that lasted longer."""
    from scipy.stats import CensoredData, ecdf

    shares = []
    for name in {f.stage for f in some}:
        own = [f for f in some if f.stage == name]
        survival = ecdf(CensoredData.right_censored([f.left for f in own], [f.censored for f in own])).sf
        over_low, over_high = (float(survival.evaluate(q)) for q in (own[0].low - 1e-9, min(own[0].high, 1e9)))
        shares += [over_low - (0.0 if own[0].high == math.inf else over_high)] * len(own)
    return float(np.mean(shares))


def over_runs(statistic: Statistic, some: Sequence[Any], digits: int = 2) -> str:
    """A statistic of runs with its 95% bootstrap interval, in words."""
    rng = np.random.default_rng(0)
    drawn = [statistic([some[i] for i in rng.integers(len(some), size=len(some))]) for _ in range(1000)]
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return f"{statistic(some):.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def table(fitted_on: Sequence[Run], held_out: Sequence[Run], fitted: dict[str, Any]) -> str:
    """Markdown."""
    answered = [sum(run.answered is not None for run in some) for some in (fitted_on, held_out)]
    said = [
        f"{len(fitted_on)} runs fitted on, {answered[0]} answered; {len(held_out)} held out, {answered[1]} answered.\n"
    ]
    heads = [f"AUROC at {share:.0%}" for share in SHARES]
    said += [f"| held out | {' | '.join(heads)} | called | false alarms | median lead |", "|" + "---|" * 8]
    for name, look in LOOKS.items():
        of = chance(lines(prefixes(fitted_on, look), look), look)
        cells = [over_runs(area, seen_at(share, of, held_out)) for share in SHARES]
        found = alarms(of, bound(of, fitted_on), held_out)
        cells += [over_runs(statistic, found) for statistic in (called, false, lead)]
        said.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*said, "", *_coverage(held_out, fitted)])


def _coverage(held_out: Sequence[Run], fitted: dict[str, Any]) -> Iterator[str]:
    by_run = [forecasts(run, fitted) for run in held_out]
    yield "| interval | upper end | prefixes | holds for certain | may hold | by Kaplan and Meier | of answered runs |"
    yield "|" + "---|" * 7
    for stages in (*([name] for name in fitted["left"]), list(fitted["left"])):
        own = [[f for f in row if f.stage in stages] for row in by_run]
        end = "" if len(stages) > 1 else "open" if fitted["left"][stages[0]][1] is None else "a step"
        cells = [over_runs(partial(_pooled, statistic), own) for statistic in (certain, possible, estimated, answered)]
        yield f"| {', '.join(stages)} | {end} | {sum(map(len, own))} | {' | '.join(cells)} |"


def _pooled(statistic: Statistic, rows: Sequence[Sequence[Forecast]]) -> float:
    every = [forecast for row in rows for forecast in row]
    return statistic(every) if every else math.nan


def main() -> None:
    fitted_on, held_out = halves(runs())
    found = fit(fitted_on)
    Path(shipped.__file__).with_name("forecast.json").write_text(json.dumps(found, indent=1) + "\n")
    print(table(fitted_on, held_out, found))


if __name__ == "__main__":
    main()
