"""A policy held against a report: one condition a line, and whatever cannot be evaluated has failed."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detectors.core.verdict import Verdict
from detectors.gate.baseline import Change, changes, read_report
from detectors.gate.policy import Policy, PolicyError, parse_bound
from detectors.judging.detection import Detection
from detectors.report.model import Document, Outcome

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
}


class Breach(Exception):
    """A condition that does not hold, or could not be evaluated, in one sentence."""


@dataclass(frozen=True)
class Condition:
    """One line of a policy. id: short and unique, fit for a pytest item. check raises Breach where it fails."""

    id: str
    detector: str | None
    check: Callable[[Document], str]


def conditions(policy: Policy, folder: Path, baseline: str | Path | None = None) -> list[Condition]:
    """The conditions of a policy in its order. baseline: overrules the policy's own file. Nothing is scored.

    Errors: PolicyError where there are none, BaselineError where the baseline cannot be read.
    """
    found = list(_verdicts(policy)) + list(_bounds(policy)) + list(_floors(policy))
    file = baseline or (folder / policy.baseline.file if policy.baseline and policy.baseline.file else None)
    if file is not None:
        found += _against(read_report(file, "this gate with --update-baseline"), policy)
    if not found:
        raise PolicyError("the policy has no conditions, so nothing would be evaluated: add must, bounds or accuracy")
    return found


def evaluate(found: list[Condition], report: Document) -> list[Outcome]:
    """Every condition held against the report; a condition that crashes has failed."""
    return [outcome(condition, report) for condition in found]


def outcome(condition: Condition, report: Document) -> Outcome:
    try:
        passed, sentence = True, condition.check(report)
    except Breach as breach:
        passed, sentence = False, str(breach)
    except Exception as error:
        passed, sentence = False, f"could not be evaluated: {type(error).__name__}: {error}".splitlines()[0]
    detection = next((d for d in report if d.detector == condition.detector), None)
    return Outcome(condition.id, condition.detector, passed, sentence, _properties(detection))


def _properties(detection: Detection | None) -> dict[str, Any]:
    if detection is None:
        return {}
    found = {
        "verdict": str(detection.verdict),  # a plain string: xdist sends no other
        "score": detection.score,
        "threshold": detection.threshold,
        "p_value": detection.p_value,
        "p_adjusted": detection.p_adjusted,
    }
    return {key: value for key, value in found.items() if value is not None}


def _detection(report: Document, name: str) -> Detection:
    try:
        return report[name]
    except KeyError:
        raise Breach(f"{name} was not run") from None


def _verdicts(policy: Policy) -> Iterator[Condition]:
    for name, wanted in policy.must.items():
        allowed: list[str] = [wanted] if isinstance(wanted, str) else list(wanted)
        yield Condition(f"{name} is {' or '.join(allowed)}", name, _must(name, allowed))
    for name, unwanted in policy.must_not.items():
        barred = [unwanted] if isinstance(unwanted, str) else list(unwanted)
        allowed = [str(verdict) for verdict in Verdict if verdict.settled and verdict not in barred]
        yield Condition(f"{name} is not {' or '.join(barred)}", name, _must(name, allowed))


def _must(name: str, allowed: list[str]) -> Callable[[Document], str]:
    def check(report: Document) -> str:
        found = _detection(report, name)
        says = f"{name} is {found.verdict} ({found.reason})"
        if found.verdict not in allowed:
            raise Breach(f"{says}; must be {' or '.join(allowed) or 'something else'}")
        return says

    return check


def _bounds(policy: Policy) -> Iterator[Condition]:
    for text in policy.bounds:
        name, key, sign, number = parse_bound(text)
        yield Condition(f"{name}.{key} {sign} {number:g}", name, _bound(name, key, sign, number))


def _bound(name: str, key: str, sign: str, number: float) -> Callable[[Document], str]:
    def check(report: Document) -> str:
        found = _detection(report, name)
        value = _number(found, key)
        says = f"{name}.{key} is {value:.6g}"
        if not OPERATORS[sign](value, number):
            raise Breach(f"{says}; must be {sign} {number:g}")
        return says

    return check


def _number(found: Detection, key: str) -> float:
    """A figure of a detection by name: score, p_value, p_adjusted, causal.necessity, or a number of its evidence."""
    if found.verdict in ("error", "not_applicable"):
        raise Breach(f"{found.detector} is {found.verdict} ({found.reason}), so {key} could not be evaluated")
    plain: Any = found.model_dump()
    if key.startswith("causal."):
        value = (plain["causal"] or {}).get(key.removeprefix("causal."))
    else:
        value = plain[key] if key in ("score", "p_value", "p_adjusted") else plain["evidence"].get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        known = ["score", "p_value", "p_adjusted"] + [
            k for k, v in plain["evidence"].items() if isinstance(v, int | float)
        ]
        known += [f"causal.{k}" for k, v in (plain["causal"] or {}).items() if isinstance(v, int | float)]
        has = f"{found.detector} is {found.verdict} and has the numbers {', '.join(known)}"
        raise Breach(f"{found.detector}.{key} is {'not there' if value is None else 'no number'}; {has}")
    return float(value)


def _floors(policy: Policy) -> Iterator[Condition]:
    for split, floor in policy.accuracy.model_dump().items():
        if floor is not None:
            yield Condition(f"accuracy.{split} >= {floor:g}", None, _floor(split, floor))


def _floor(split: str, floor: float) -> Callable[[Document], str]:
    def check(report: Document) -> str:
        value = getattr(report.accuracy, split)
        if value is None or not math.isfinite(value):
            raise Breach(f"accuracy.{split} is not known: the training pairs are unknown (train_indices, train_split)")
        if value < floor:
            raise Breach(f"accuracy.{split} is {value:.6g}; must be >= {floor:g}")
        return f"accuracy.{split} is {value:.6g}"

    return check


def _against(baseline: Document, policy: Policy) -> Iterator[Condition]:
    """For every detector of the baseline: no worse verdict, and a score within its tolerance."""
    rules = policy.baseline
    yield Condition("baseline: same task", None, lambda report: _same_task(baseline, report))
    for old in baseline:
        name = old.detector
        tolerance = rules.tolerances.get(name, rules.tolerance) if rules else 0.05
        strict = rules is not None and rules.key_irreps == "fail"
        yield Condition(f"baseline: {name}", name, _no_worse(baseline, name, tolerance, strict))


def _same_task(baseline: Document, report: Document) -> str:
    if baseline.task.spec != report.task.spec:
        raise Breach(f"the baseline is of the task {baseline.task.spec}, the model of {report.task.spec}")
    return f"the baseline is of the task {report.task.spec}"


def _no_worse(baseline: Document, name: str, tolerance: float, strict: bool) -> Callable[[Document], str]:
    def check(report: Document) -> str:
        found = [c for c in changes(baseline, report) if c.detector == name]
        if worse := [str(c) for c in found if _fails(c, tolerance, strict)]:
            moved = any(c.kind == "score" and _fails(c, tolerance, strict) for c in found)
            raise Breach("; ".join(worse) + (f" (a score may move by {tolerance:g})" if moved else ""))
        return "; ".join(map(str, found)) or f"{name}: as in the baseline"

    return check


def _fails(change: Change, tolerance: float, strict: bool) -> bool:
    if change.kind == "score":
        return change.by > tolerance
    if change.kind == "key_irreps":
        return strict
    return change.kind == "version" or bool(change.worse)


def loading(policy: Policy, folder: Path, **options: Any) -> dict[str, Any]:
    """What `detectors.load` is called with: what the policy says, and over it the options given."""
    own = {
        "task": policy.task,
        "train_indices": folder / policy.train_indices if policy.train_indices else None,
        "train_split": policy.train_split,
        "arch": {key: str(value) for key, value in policy.arch.items()},
    }
    given = {key: value for key, value in options.items() if value}
    if given.keys() & {"train_indices", "train_split"}:
        own |= {"train_indices": None, "train_split": None}
    return {key: value for key, value in (own | given).items() if value}
