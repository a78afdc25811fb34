"""The figures of a report, and how they reach whatever keeps a run's curves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from detectors.core.errors import DetectorsError
from detectors.core.verdict import Verdict
from detectors.report.model import Document

Log = Callable[[dict[str, float]], object]
PREFIX = "detectors/"


def figures(report: Document, step: int) -> dict[str, float]:
    """Numbers alone, under names that begin with `detectors/`: `step`; `accuracy/unseen` and the like; of every motif
    its value under its name, `NAME/present` (0 or 1, where there is a verdict) and what of its evidence is a number.
    """
    found: dict[str, float] = {"step": step}
    found |= {f"accuracy/{split}": value for split, value in asdict(report.accuracy).items() if value is not None}
    for detection in report:
        if detection.score is not None:
            found[detection.detector] = detection.score
        if detection.verdict.settled:
            found[f"{detection.detector}/present"] = float(detection.verdict is Verdict.PRESENT)
        plain: dict[str, Any] = detection.model_dump()["evidence"] or {}
        numbers = {k: v for k, v in plain.items() if isinstance(v, int | float) and not isinstance(v, bool)}
        found |= {f"{detection.detector}/{key}": value for key, value in numbers.items()}
    return {PREFIX + name: value for name, value in found.items()}


def loggers(log: Any) -> list[Log]:
    """Each of what was given as a function of a dictionary: what has `log(dict)` (Weights & Biases), what has
    `add_scalar(name, value, step)` (TensorBoard), and functions. Errors: DetectorsError for anything else.

    >>> seen = []
    >>> loggers(seen.append)[0]({"detectors/step": 3})
    >>> seen
    [{'detectors/step': 3}]
    """
    given = [] if log is None else list(log) if isinstance(log, list | tuple) else [log]
    return [_logger(one) for one in given]


def _logger(one: Any) -> Log:
    if callable(getattr(one, "add_scalar", None)):
        return lambda found: _each(one.add_scalar, found.items(), int(found[PREFIX + "step"]))
    if callable(getattr(one, "log", None)):
        return lambda found: one.log(found)
    if callable(one):
        return lambda found: one(found)
    raise DetectorsError(
        f"log takes what has `log(dict)` or `add_scalar(name, value, step)`, or a function of a dict, or a list of "
        f"such; {type(one).__name__} is none"
    )


def _each(add: Callable[..., object], found: Iterable[tuple[str, float]], step: int) -> None:
    for name, value in found:
        add(name, value, step)
