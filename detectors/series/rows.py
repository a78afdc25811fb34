"""From rows of reports, a row a checkpoint and detector, to a story."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from detectors.core import registry
from detectors.core.errors import DetectorsError
from detectors.core.registry import spec_of
from detectors.core.steps import StepFrom
from detectors.core.verdict import Verdict
from detectors.report.rows import Row
from detectors.series.story import SPLITS, Course, Story
from detectors.series.telling import told

CAUSES = ("p_adjusted", "necessity", "sufficiency", "control")


def story_of(
    rows: Iterable[Row],
    *,
    step_from: str | None = None,
    weight_norms: Mapping[int, float] | None = None,
    notes: Sequence[str] = (),
    **known: Any,
) -> Story:
    """The story that rows tell, in whatever order they come. step_from: where a row's step stands that has none.
    weight_norms: by step. notes: what is to be said of how it was read. known: further fields of a story.

    Errors: DetectorsError where no row has a step, and where rows of one step are of different weights or tasks.
    """
    where, by_step, left = StepFrom(step_from), defaultdict[int, list[Row]](list), dict[str, None]()
    for row in rows:
        step = row["step"] if row["step"] is not None and step_from is None else where.named(row["checkpoint"])
        if step is None:
            left[row["checkpoint"]] = None
        else:
            by_step[step].append(row)
    if not by_step:
        raise DetectorsError("none of these rows has a step, nor the name of its checkpoint: pass --step-from")
    said = [*notes, *(f"{name} is left out: it has no step" for name in left)]
    return told(_gathered(by_step, weight_norms or {}, said, known))


def _gathered(
    by_step: Mapping[int, list[Row]], norms: Mapping[int, float], notes: list[str], known: Mapping[str, Any]
) -> Story:
    steps = sorted(by_step)
    scored = {step: {r["detector"]: r for r in rows if r["detector"]} for step, rows in by_step.items()}
    _of_one_run(by_step)
    first = {step: next(iter(found.values()), None) for step, found in scored.items()}
    accuracy = {split: [_number(first[s], f"accuracy_{split}") for s in steps] for split in SPLITS}
    there = {name for found in scored.values() for name in found}
    every = [name for name in (*registry.names(), *sorted(there)) if name in there]
    return Story(
        task=next((row["task"] for row in first.values() if row), ""),
        steps=steps,
        accuracy=accuracy,
        motifs={name: _course(name, [scored[s].get(name) for s in steps]) for name in dict.fromkeys(every)},
        weight_norm=[norms.get(s) for s in steps],
        untold={s: next(r["error"] or "" for r in by_step[s]) for s in steps if not scored[s]},
        notes=notes,
        **known,
    )


def _of_one_run(by_step: Mapping[int, list[Row]]) -> None:
    tasks = {row["task"] for rows in by_step.values() for row in rows if row["task"]}
    if len(tasks) > 1:
        raise DetectorsError(f"these rows are of several tasks, {', '.join(sorted(tasks))}: pass those of one run")
    for step, rows in by_step.items():
        if len({row["sha256"] for row in rows if row["sha256"] and row["detector"]}) > 1:
            names = ", ".join(sorted({row["checkpoint"] for row in rows})[:3])
            raise DetectorsError(f"rows of step {step} are of different weights ({names}): pass those of one run")


def _number(row: Row | None, column: str) -> float | None:
    value = row[column] if row else None
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _course(name: str, rows: Sequence[Row | None]) -> Course:
    evidence = [_evidence(row) for row in rows]
    numeric = {k for one in evidence for k, v in one.items() if type(v) in (int, float)}
    function = registry.known(name)
    chose = spec_of(function).chose if function else ""
    verdicts = [Verdict.__members__[row["verdict"].upper()] if row else None for row in rows]
    said = [row["reason"] or "" for row in rows if row]
    return Course(
        value=[_number(row, "score") for row in rows],
        verdict=verdicts,
        open=said[-1] if said and set(verdicts) <= {Verdict.INCONCLUSIVE, None} else "",
        **{cause: [_number(row, cause) for row in rows] for cause in CAUSES},
        evidence={key: [_number(one, key) if key in one else None for one in evidence] for key in sorted(numeric)},
        chosen=[[str(k) for k in one.get(chose) or [] if isinstance(k, str | int)] for one in evidence],
        effective=[effective(one.get("power")) for one in evidence],
    )


def _evidence(row: Row | None) -> dict[str, Any]:
    try:
        found = json.loads(row["evidence"]) if row and row["evidence"] else {}
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def effective(power: Any) -> float | None:
    """Number of irreps that a spectrum has, each counted by its power p: (sum p)^2 / sum p^2. None without powers.

    >>> effective([0.25, 0.25, 0.25, 0.25]), effective([1.0, 0.0]), effective([])
    (4.0, 1.0, None)
    """
    if not isinstance(power, list | tuple) or not all(isinstance(p, int | float) and p >= 0 for p in power):
        return None
    squares = sum(p * p for p in power)
    return sum(power) ** 2 / squares if squares > 0 else None
