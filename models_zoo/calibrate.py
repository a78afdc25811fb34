"""From models of known answer to thresholds with error rates: `detectors/judging/calibration.json`.

Threshold: a third of the way from the highest level of the negative families to the lowest of the positive ones, since
negatives are known in more kinds, and weaker positives exist than a bench has. A family's level is the value that 1 in
50 of its parents passes, or falls short of; families of fewer than twenty are taken together, and their largest, or
least, value where that makes no twenty. Where a motif's structure may be there
unused the value settles nothing, and the family counts in rates of verdicts alone. A family is judged by the threshold
that it had no part in: it is left out, on either side.

Value rule: value >= threshold. Whole verdict: null and cause included. No score, be it a crash or that the detector
cannot tell, is a miss where the motif is there and a false alarm where it is not. Rates count parents (see `rates`),
pooled over families, each family's own count beside. AUC: over the worst family.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

import numpy as np

from detectors.core import registry
from detectors.core.score import Score
from detectors.core.verdict import Verdict
from detectors.judging.outcome import Outcome
from detectors.runner import enough_draws
from models_zoo.bench import Job, Model, model
from models_zoo.rates import area, rate

FEW, ONE_IN = 20, 50
RULE = "a third of the way from the highest negative level to the lowest positive one; level: the value that 1 in 50 parents of a family passes or falls short of, families of fewer than 20 taken together"  # noqa: E501
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Scored:
    """What one detector found in one model. truth: `present`, `absent` or `unused`. score: None where it gave none."""

    detector: str
    family: str
    parent: str
    model: str
    truth: str
    order: int
    architecture: str
    score: Score | None = field(compare=False)
    p_adjusted: float | None = None

    @property
    def there(self) -> bool:
        return self.truth == "present"


def score_all(
    jobs: Sequence[Job], workers: int, progress: Progress, *, detector: str = "", motif: str = "", build: Any = model
) -> list[Scored]:
    """Every model of the jobs by every detector of ours, or by `detector`, PACKAGE:NAME, as a detector of `motif`."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # read by the workers as they start
    found: list[Scored] = []
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(work, job, detector, motif, build) for job in jobs]
        for done, future in enumerate(as_completed(futures), start=1):
            found += future.result()
            progress(done, len(jobs))
    return sorted(found, key=lambda s: (s.detector, s.family, s.model))


def work(job: Job, detector: str, motif: str, build: Callable[[Job], Model | None]) -> list[Scored]:
    """The scores of one model whose answer is known."""
    import torch

    from detectors.runner import attempt_all

    torch.set_num_threads(1)
    made = build(job)
    if made is None:
        return []
    chosen = [imported(detector)] if detector else [n for n in registry.builtin() if n in made.truth]
    if detector and motif not in made.truth:
        return []
    kind = str(made.view.architecture.get("kind", "?"))
    return [
        Scored(
            detector=o.name,
            family=made.family,
            parent=made.parent,
            model=made.name,
            truth=made.truth[motif or o.name],
            order=made.view.size.order or 0,
            architecture=kind,
            score=o.score,
            p_adjusted=o.p_adjusted,
        )
        for o in attempt_all(made.view, chosen, draws=enough_draws(len(chosen)), seed=0)
        if (made.told or not _cannot_tell(o)) and not _idle(o, made.truth[motif or o.name])
    ]


def _idle(outcome: Outcome, truth: str) -> bool:
    """The question does not arise, and the motif is not there: neither right nor wrong."""
    return outcome.verdict is Verdict.NOT_APPLICABLE and truth != "present"


def _cannot_tell(outcome: Outcome) -> bool:
    """Of the training set, where it is not told."""
    return outcome.verdict is Verdict.INCONCLUSIVE and outcome.spec is not None and "split" in outcome.spec.needs


def imported(path: str) -> registry.Detector:
    """The detector at PACKAGE:NAME."""
    from importlib import import_module

    package, _, name = path.partition(":")
    function: registry.Detector = getattr(import_module(package), name)
    registry.spec_of(function)  # TypeError, with what to do, where it is none
    return function


def levels(scored: Iterable[Scored], without: str | None = None) -> tuple[float, float]:
    """The highest level of the negative families and the lowest of the positive ones, one family left out, unless it is
    the only one of its side.
    """
    sides: dict[bool, dict[str, dict[str, list[float]]]] = {False: {}, True: {}}
    for s in scored:
        if s.truth != "unused" and s.score is not None:
            sides[s.there].setdefault(s.family, {}).setdefault(s.parent, []).append(s.score.value)
    negatives, positives = (
        _pooled([[worst(v) for v in parents.values()] for f, parents in side.items() if f != without or len(side) == 1])
        for side, worst in ((sides[False], max), (sides[True], min))
    )
    return (
        max(float(np.quantile(v, 1 - 1 / ONE_IN, method="lower")) if len(v) >= FEW else max(v) for v in negatives),
        min(float(np.quantile(v, 1 / ONE_IN, method="higher")) if len(v) >= FEW else min(v) for v in positives),
    )


def _pooled(families: list[list[float]]) -> list[list[float]]:
    """The large families, and the small ones as one."""
    small = [value for values in families if len(values) < FEW for value in values]
    return [values for values in families if len(values) >= FEW] + ([small] if small else [])


def threshold(scored: Iterable[Scored], without: str | None = None) -> float:
    negative, positive = levels(scored, without)
    return round(negative + (positive - negative) / 3, 2)


def calibrate(scored: list[Scored]) -> dict[str, Any]:
    """The table that `detectors` ships, from the scores."""
    from models_zoo.cards import digest
    from models_zoo.population import digest as of_population

    found = {name: [s for s in scored if s.detector == name] for name in registry.builtin()}
    rows = {name: row(own) for name, own in found.items() if len({s.there for s in own if s.score is not None}) == 2}
    return {"status": "calibrated", "rule": RULE, "zoo": digest(), "population": of_population(), "rows": rows}


def row(scored: list[Scored], function: registry.Detector | None = None) -> dict[str, Any]:
    """One detector's row: its threshold and how it was come by, its rates, and each family's own figures."""
    spec = registry.spec_of(function or registry.load(scored[0].detector))
    judged = Judged(spec, scored)
    positives, negatives = ([s for s in scored if s.there == there] for there in (True, False))
    valued = [s for s in negatives if s.truth == "absent"]
    least = min(_values(positives))
    return {
        "version": spec.version,
        "threshold": judged.cut,
        "levels": dict(zip(("negative", "positive"), (round(x, 4) for x in levels(scored)), strict=True)),
        "values": {"present": _spread(positives), "absent": _spread(valued)},
        "above_a_positive": sorted(s.model for s in valued if s.score is not None and s.score.value >= least),
        **({"orders": [min(orders), max(orders)]} if (orders := [s.order for s in scored if s.order]) else {}),
        "architectures": sorted({s.architecture for s in scored}),
        "auc": min(area(_values(positives), _values(own)) for own in _by_family(valued).values() if _values(own)),
        "true_positives": {
            "value": rate([(s.parent, judged.passes(s)) for s in positives], every=True),
            "verdict": rate([(s.parent, judged.called(s)) for s in positives], every=True),
        },
        "false_positives": {
            "value": rate([(s.parent, judged.passes(s)) for s in valued], every=False),
            "verdict": rate([(s.parent, judged.called(s)) for s in negatives], every=False),
        },
        "families": {name: judged.family(own) for name, own in _by_family(scored).items()},
        "missed": [s.model for s in positives if not judged.called(s)],
        "wrong": [s.model for s in negatives if judged.called(s)],
    }


class Judged:
    """A detector's models under the thresholds that their own families had no part in."""

    def __init__(self, spec: registry.Spec, scored: list[Scored]) -> None:
        self.spec, self.cut = spec, threshold(scored)
        self.held_out = {family: threshold(scored, without=family) for family in _by_family(scored)}

    def passes(self, s: Scored) -> bool:
        """By its value alone; no value counts against the detector, on either side."""
        return not s.there if s.score is None else s.score.value >= self.held_out[s.family]

    def called(self, s: Scored) -> bool:
        """By the whole verdict."""
        from detectors.judging.heads import judged

        if s.score is None:
            return not s.there
        found = {"version": self.spec.version, "threshold": self.held_out[s.family]}
        return judged(self.spec, s.score, s.p_adjusted, found)[0].verdict is Verdict.PRESENT

    def family(self, own: list[Scored]) -> dict[str, Any]:
        sides = {}
        for there, word in ((True, "present"), (False, "absent")):
            mine = [s for s in own if s.there == there]
            if mine:
                sides[word] = {
                    "models": len(mine),
                    "parents": len({s.parent for s in mine}),
                    "above": sum(map(self.passes, mine)),
                    "called_present": sum(map(self.called, mine)),
                }
        return {"threshold_without": self.held_out[own[0].family], **sides}


def _by_family(scored: Iterable[Scored]) -> dict[str, list[Scored]]:
    families: dict[str, list[Scored]] = defaultdict(list)
    for s in scored:
        families[s.family].append(s)
    return dict(families)


def _values(scored: Iterable[Scored]) -> list[float]:
    return [s.score.value for s in scored if s.score is not None]


def _spread(scored: list[Scored]) -> dict[str, float]:
    """Where the values lie: least, 1 in 50, median, 49 in 50, greatest."""
    at = {"least": 0.0, "one_in_50": 1 / ONE_IN, "median": 0.5, "all_but_one_in_50": 1 - 1 / ONE_IN, "greatest": 1.0}
    return {name: round(float(np.quantile(_values(scored), q)), 4) for name, q in at.items()}
