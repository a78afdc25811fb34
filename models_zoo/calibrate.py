"""From the zoo and random draws to thresholds with error rates: `detectors/judging/calibration.json`.

Threshold: a third of the way from the highest level of the negative families to the least of the positives, since the
negatives are drawn by the hundred and known well, and weaker positives exist than a zoo has. A family's level is the
value that 1 in 50 of it passes, or the largest of fewer than twenty. A family is judged by the threshold that it had no
part in: it is left out, on either side.

Value rule: value >= threshold. Whole verdict: null and cause included. Intervals: 95% Clopper-Pearson (Biometrika 26,
1934). AUC: the chance that a positive's value is above a negative's, ties half, over the worst family.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from scipy.stats import binomtest, mannwhitneyu

from detectors.core import registry
from detectors.subjects.operands.view import ModelView
from detectors.subjects.tasks import of_two_operands
from models_zoo.cards import cards, digest, expected
from models_zoo.draws import FAMILIES

VALUE_DRAWS, VERDICT_DRAWS = 500, 50
FEW, MANY = 39, 199  # permutations for a value, whose null mean is all that is needed, and for a verdict
BLOCK = 10
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scored:
    """What one detector found in one model. verdict: None where only the value was asked for."""

    detector: str
    family: str
    side: bool  # True: the card says that the motif is there
    model: str
    order: int
    architecture: str
    value: float
    judged: tuple[Any, ...] | None = None  # score and adjusted p-value, for `judge` under any threshold


def score_all(draws: int, verdicts: int, workers: int, progress: Progress) -> list[Scored]:
    """Every member whose card settles a motif, and `draws` values and `verdicts` whole verdicts of every family."""
    jobs: list[tuple[Any, ...]] = [("member", name) for name in _members()]
    for family in FAMILIES:
        jobs += [("draws", family, start, min(BLOCK, verdicts - start), MANY) for start in range(0, verdicts, BLOCK)]
        jobs += [("draws", family, s, min(BLOCK, draws - s), FEW) for s in range(verdicts, draws, BLOCK)]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # read by the workers as they start
    found: list[Scored] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(_work, job) for job in jobs]
        for done, future in enumerate(as_completed(futures), start=1):
            found += future.result()
            progress(done, len(jobs))
    return sorted(found, key=lambda s: (s.detector, s.family, s.model))


def _members() -> list[str]:
    return [
        n for n, card in cards().items() if card["family"] != "series" and set(expected(card)) & set(registry.builtin())
    ]


def _work(job: tuple[Any, ...]) -> list[Scored]:
    import torch

    from detectors.loading.load import load

    torch.set_num_threads(1)
    if job[0] == "member":
        name = job[1]
        view = of_two_operands(load(f"zoo:{name}"))
        settled = {m: v == "present" for m, v in expected(cards()[name]).items() if v != "inert"}
        return _scores(view, name, _family(name), settled, MANY)
    _, family, start, count, permutations = job
    function, absent = FAMILIES[family]
    found = []
    for seed in range(start, start + count):
        view = function(np.random.default_rng([_number(family), seed]))
        found += _scores(view, f"{family}/{seed}", family, dict.fromkeys(absent, False), permutations)
    return found


def _number(family: str) -> int:
    return int.from_bytes(family.encode()[:8], "big")


def _family(name: str) -> str:
    return str(cards()[name]["family"])


def _scores(view: ModelView, name: str, family: str, settled: dict[str, bool], permutations: int) -> list[Scored]:
    from detectors.runner import attempt_all

    outcomes = attempt_all(view, list(registry.builtin()), draws=permutations, seed=0)
    kind = str(view.network.architecture.get("kind", "?"))
    return [
        Scored(
            detector=o.name,
            family=family,
            side=settled[o.name],
            model=name,
            order=view.group.order,
            architecture=kind,
            value=o.score.value,
            judged=(o.score, o.p_adjusted) if permutations == MANY else None,
        )
        for o in outcomes
        if o.name in settled and o.score is not None
    ]


def threshold(scored: Iterable[Scored], without: str | None = None) -> float:
    """A third of the way from the negatives' highest family level to the least positive, one family left out."""
    sides: dict[bool, dict[str, list[float]]] = {True: defaultdict(list), False: defaultdict(list)}
    for s in scored:
        if s.family != without:
            sides[s.side][s.family].append(s.value)
    negative = max(
        float(np.quantile(v, 0.98, method="lower")) if len(v) >= 20 else max(v) for v in sides[False].values()
    )
    positive = min(v for family in sides[True].values() for v in family)
    return round(negative + (positive - negative) / 3, 2)


def calibrate(scored: list[Scored]) -> dict[str, Any]:
    """The table that `detectors` ships, from the scores."""
    rows = {}
    for name in registry.builtin():
        own = [s for s in scored if s.detector == name]
        rows[name] = {"version": registry.spec_of(registry.load(name)).version, **_row(own)}
    return {"status": "calibrated", "zoo": digest(), "rows": rows}


def _row(scored: list[Scored]) -> dict[str, Any]:
    from detectors.judging.verdict import judge

    cut = threshold(scored)
    families = sorted({s.family for s in scored})
    held_out = {family: threshold(scored, without=family) for family in families}
    spec = registry.spec_of(registry.load(scored[0].detector))

    def passes(s: Scored) -> bool:
        return s.value >= held_out[s.family]

    def called(s: Scored) -> bool:
        assert s.judged is not None
        row = {"version": spec.version, "threshold": held_out[s.family]}
        score, p_adjusted = s.judged
        return judge(spec, score, p_adjusted, row)[0] == "present"

    positives = [s for s in scored if s.side]
    negatives = [s for s in scored if not s.side]
    drawn = [s for s in negatives if s.family in FAMILIES and "/" in s.model]
    table = {}
    for family in families:
        own = [s for s in negatives if s.family == family]
        if own:
            table[family] = {
                "models": len(own),
                "threshold_without": held_out[family],
                "above": sum(map(passes, own)),
                "auc": _auc([s.value for s in positives], [s.value for s in own]),
                "verdicts": sum(s.judged is not None for s in own),
                "called_present": sum(called(s) for s in own if s.judged is not None),
            }
    return {
        "threshold": cut,
        "orders": [min(s.order for s in scored), max(s.order for s in scored)],
        "architectures": sorted({s.architecture for s in scored}),
        "auc": min(row["auc"] for row in table.values()),
        "true_positives": {"value": rate(map(passes, positives)), "verdict": rate(map(called, positives))},
        "false_positives": {
            "value": rate(map(passes, drawn)),
            "verdict": rate(called(s) for s in drawn if s.judged is not None),
            "members": rate(called(s) for s in negatives if s not in drawn),
        },
        "negatives": table,
        "missed": [s.model for s in positives if not called(s)],
        "wrong": [s.model for s in negatives if s.judged is not None and called(s)],
    }


def rate(hits: Iterable[bool]) -> dict[str, Any]:
    """Count, number and share with its 95% Clopper-Pearson interval.

    >>> rate([True] * 3 + [False])
    {'count': 3, 'of': 4, 'low': 0.1941, 'high': 0.9937}
    """
    found = list(hits)
    interval = binomtest(sum(found), len(found)).proportion_ci(0.95, method="exact") if found else None
    low, high = (interval.low, interval.high) if interval else (0.0, 1.0)
    return {"count": sum(found), "of": len(found), "low": round(float(low), 4), "high": round(float(high), 4)}


def _auc(positives: list[float], negatives: list[float]) -> float:
    u = mannwhitneyu(positives, negatives).statistic
    return round(float(u / (len(positives) * len(negatives))), 4)
