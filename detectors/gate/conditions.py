"""A policy held against a report: one condition a line, and whatever cannot be evaluated has failed."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from detectors.core.verdict import Verdict
from detectors.core.visible import visible
from detectors.gate.baseline import BaselineError, changes, read_report
from detectors.gate.policy import BaselinePolicy, Policy, PolicyError, parse_bound
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
    found = []
    for name, wanted in policy.must.items():
        allowed = [wanted] if isinstance(wanted, str) else list(wanted)
        found.append(Condition(f"{name} is {' or '.join(allowed)}", name, partial(_must, name=name, allowed=allowed)))
    for name, unwanted in policy.must_not.items():
        barred = [unwanted] if isinstance(unwanted, str) else list(unwanted)
        others = [str(verdict) for verdict in Verdict if verdict.settled and verdict not in barred]
        found.append(Condition(f"{name} is not {' or '.join(barred)}", name, partial(_must, name=name, allowed=others)))
    for text in policy.bounds:
        name, key, sign, number = parse_bound(text)
        check = partial(_bound, name=name, key=key, sign=sign, number=number)
        found.append(Condition(f"{name}.{key} {sign} {number:g}", name, check))
    for split, floor in policy.accuracy.model_dump().items():
        if floor is not None:
            found.append(Condition(f"accuracy.{split} >= {floor:g}", None, partial(_floor, split=split, floor=floor)))
    file = baseline or (folder / policy.baseline.file if policy.baseline and policy.baseline.file else None)
    if file is not None:
        earlier = read_report(file, "this gate with --update-baseline")
        if not len(earlier):
            raise BaselineError(
                f"{file} holds no detections, so nothing would be compared: --update-baseline writes it"
            )
        found += _against(earlier, policy.baseline or BaselinePolicy())
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
    figures = next((d.figures for d in report if d.detector == condition.detector), {})
    return Outcome(condition.id, condition.detector, passed, sentence, figures)


def _detection(report: Document, name: str) -> Detection:
    try:
        return report[name]
    except KeyError:
        raise Breach(f"{name} was not run") from None


def _must(report: Document, name: str, allowed: Sequence[str]) -> str:
    found = _detection(report, name)
    says = f"{name} is {found.verdict} ({found.reason})"
    if found.verdict not in allowed:
        raise Breach(f"{says}; must be {' or '.join(allowed) or 'something else'}")
    return says


def _bound(report: Document, name: str, key: str, sign: str, number: float) -> str:
    value = _number(_detection(report, name), key)
    says = f"{name}.{key} is {value:.6g}"
    if not OPERATORS[sign](value, number):
        raise Breach(f"{says}; must be {sign} {number:g}")
    return says


def _number(found: Detection, key: str) -> float:
    """A figure of a detection by name: score, p_value, p_adjusted, causal.necessity, or a number of its evidence."""
    if not found.verdict.settled:  # a figure that settles no verdict settles no bound either
        raise Breach(f"{found.detector} is {found.verdict} ({found.reason}), so {key} could not be evaluated")
    plain: dict[str, Any] = found.model_dump()
    figures = plain["evidence"] | {name: plain[name] for name in ("score", "p_value", "p_adjusted")}
    figures |= {f"causal.{name}": value for name, value in (plain["causal"] or {}).items()}
    value = figures.get(key)
    if key == found.chose and isinstance(value, list) and all(type(one) is dict and "verdict" in one for one in value):
        there = found.verdict is Verdict.PRESENT  # none of a motif that is not, whatever its evidence says
        return float(sum(there and one["verdict"] == Verdict.PRESENT for one in value))
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        known = ", ".join(name for name, other in figures.items() if isinstance(other, int | float))
        what = "not there" if value is None else "no number"
        has = f"{found.detector} is {found.verdict} and has the numbers {known}"
        raise Breach(f"{found.detector}.{key} is {what}; {has}")
    return float(value)


def _certified(report: Document, floor: float) -> str:
    found = report.certificate
    if found is None:
        why = next((note for note in report.notes if note.startswith("no certificate")), "it was not asked for")
        raise Breach(f"accuracy.certified is not known: {why}")
    says = f"accuracy.certified is {found.certified_accuracy:.6g}"
    if found.certified_accuracy < floor:
        raise Breach(f"{says}; must be >= {floor:g} ({found.why})")
    return f"{says}, in {found.share:.0%} of the operations of a pass over all pairs"


def _floor(report: Document, split: str, floor: float) -> str:
    if split == "certified":
        return _certified(report, floor)
    value = getattr(report.accuracy, split)
    if report.accuracy.all is None:
        raise Breach(f"accuracy.{split} is not known: the task {report.task.spec} asks for no answers")
    if value is None and report.pairs.train is not None:
        raise Breach(f"accuracy.{split} is not known: there are no such pairs")
    if value is None or not math.isfinite(value):
        raise Breach(f"accuracy.{split} is not known: the training pairs are unknown (train_indices, train_split)")
    says = f"accuracy.{split} is {value:.6g}"
    if value < floor:
        raise Breach(f"{says}; must be >= {floor:g}")
    for other in report.alternatives:
        theirs = getattr(other.accuracy, split)
        if theirs is not None and theirs < floor:
            raise Breach(
                f"{says}, and {theirs:.6g} under {other.reading}, which the file does not tell from it; must be >= "
                f"{floor:g} under both: pass the one that it was trained with"
            )
    return says


def _against(baseline: Document, rules: BaselinePolicy) -> Iterator[Condition]:
    """For every detector of the baseline: no worse verdict, and a score within its tolerance."""
    yield Condition("baseline: comparable", None, partial(_comparable, baseline=baseline))
    for old in baseline:
        check = partial(_no_worse, baseline=baseline, name=old.detector, rules=rules)
        # a name out of a file: pytest writes it as it stands, at the start of a line after a break
        yield Condition(f"baseline: {visible(old.detector)}", old.detector, check)


def _comparable(report: Document, baseline: Document) -> str:
    for which, document in (("baseline", baseline), ("report", report)):
        if document.calibration != "calibrated":
            raise Breach(f"the calibration of the {which} is {document.calibration}, so its verdicts are off")
    if baseline.task.spec != report.task.spec:
        raise Breach(f"the baseline is of the task {baseline.task.spec}, the model of {report.task.spec}")
    return f"the baseline is of the task {report.task.spec}"


def _no_worse(report: Document, baseline: Document, name: str, rules: BaselinePolicy) -> str:
    tolerance = rules.tolerances.get(name, rules.tolerance)
    for new in report:
        if new.detector == name and new.verdict is Verdict.ERROR:  # also where it was one before
            raise Breach(f"{name} is error ({new.reason}), so it could not be compared")
    fails = {"key_irreps": rules.key_irreps == "fail", "version": True, "threshold": True}
    found = [c for c in changes(baseline, report) if c.detector == name]
    worse = [c for c in found if fails.get(c.kind, c.by > tolerance if c.kind == "score" else bool(c.worse))]
    if worse:
        moved = f" (a score may move by {tolerance:g})" if any(c.kind == "score" for c in worse) else ""
        raise Breach("; ".join(map(str, worse)) + moved)
    return "; ".join(map(str, found)) or f"{name}: as in the baseline"


def loading(policy: Policy, folder: Path, **options: Any) -> dict[str, Any]:
    """What `detectors.load` is called with: what the policy says, and over it the options given."""
    own = {
        "task": policy.task,
        "train_indices": folder / policy.train_indices if policy.train_indices else None,
        "train_split": policy.train_split,
        "tokens": policy.tokens,
        "arch": {key: str(value) for key, value in policy.arch.items()},
    }
    given = {key: value for key, value in options.items() if value}
    if given.keys() & {"train_indices", "train_split"}:
        own |= {"train_indices": None, "train_split": None}
    return {key: value for key, value in (own | given).items() if value}
