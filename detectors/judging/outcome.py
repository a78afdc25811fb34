"""What came of calling one detector, and the detection that a report holds of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from detectors.core.heads import Heads
from detectors.core.registry import Spec
from detectors.core.score import Causal, Score, jsonable
from detectors.core.verdict import Verdict
from detectors.judging.calibration import calibration
from detectors.judging.detection import Detection
from detectors.judging.heads import judged

MOST = 2**24  # characters of one detection: those of ours have some thousand


@dataclass
class Outcome:
    """What came of calling one detector: a score and its p-value after Holm, or a verdict with its reason."""

    name: str
    spec: Spec | None = None
    score: Score | None = None
    p_adjusted: float | None = None
    verdict: Verdict = Verdict.ERROR
    reason: str = ""
    seconds: float = 0.0


def check_reportable(name: str, spec: Spec, score: object) -> None:
    """ValueError, in words, for a result whose JSON would not say what it says: a p-value that is no number, evidence
    that is no JSON. TypeError for what is no score.
    """
    if not isinstance(score, Score):
        raise TypeError(f"the detector returned {type(score).__name__}, not a detectors.Score")
    try:
        json.dumps(jsonable(score.evidence))  # pydantic would write sets and bytes too
        drawn = Detection(detector=name, verdict=Verdict.ERROR, reason="", seconds=0.0, **_found(spec, score))
        text = drawn.model_dump_json(warnings="error")
        if len(text) > MOST:
            raise ValueError(f"it has {len(text):.1e} characters, up to {MOST:.1e} are reported")
        if Detection.model_validate_json(text) != drawn:
            raise ValueError("its JSON says something else")
    except ValidationError as error:
        place, said = (error.errors()[0][key] for key in ("loc", "msg"))
        raise ValueError(f"the detector's result cannot be reported: {'.'.join(map(str, place))}: {said}") from None
    except Exception as error:
        raise ValueError(f"the detector's result cannot be reported: {error}") from None


def _found(spec: Spec, score: Score) -> dict[str, Any]:
    """What a detection takes over from a score and from what its detector declares."""
    return {
        "version": spec.version,
        "score": score.value,
        "p_value": score.null.p_value if score.null else None,
        "null": score.null,
        "causal": score.causal,
        "evidence": jsonable(score.evidence),
        "chose": spec.chose,
        "news": spec.news,
    }


def detection_of(outcome: Outcome, order: int | None, architecture: str) -> Detection:
    """Judged by its row of the calibration, if it has one. order: of the group; architecture: its kind."""
    row = calibration()["rows"].get(outcome.name)
    score, spec = outcome.score, outcome.spec
    verdict, reason = outcome.verdict, outcome.reason
    found: dict[str, Any] = {"version": spec.version if spec and type(spec.version) is int else 0}
    if score is not None and spec is not None:
        (verdict, reason), score = judged(spec, score, outcome.p_adjusted, row)
        reason += _outside(order, architecture, row)
        found = _found(spec, score) | {"p_adjusted": outcome.p_adjusted}
    detection = Detection(
        detector=outcome.name,
        threshold=row["threshold"] if row else None,
        seconds=round(outcome.seconds, 3),
        verdict=verdict,
        reason=jsonable(reason),
        **found,
    )
    detection._scored = score
    return detection


def steady(outcome: Outcome, by: float) -> bool:
    """Whether the verdict stays with every figure so much for the better, and so much for the worse: the value and the
    shares of a cause moved by that, p-values doubled and halved. Of one that is undetermined nothing is known.
    """
    spec, score = outcome.spec, outcome.score
    if spec is None or score is None or isinstance(score, Heads):
        return outcome.verdict is Verdict.NOT_APPLICABLE
    row = calibration()["rows"].get(outcome.name)
    verdicts = {judged(spec, score, outcome.p_adjusted, row)[0].verdict}
    for up in (by, -by):
        factor = 2.0 if up < 0 else 0.5
        moved = replace(score, value=_share(score.value + up), causal=_moved(score.causal, up, factor))
        p_adjusted = None if outcome.p_adjusted is None else _share(outcome.p_adjusted * factor)
        verdicts.add(judged(spec, moved, p_adjusted, row)[0].verdict)
    return len(verdicts) == 1


def _moved(causal: Causal | None, up: float, factor: float) -> Causal | None:
    if causal is None:
        return None
    kept, control, p = causal.sufficiency, causal.control, causal.p_value
    return replace(
        causal,
        necessity=_share(causal.necessity + up),
        sufficiency=None if kept is None else _share(kept + up),
        control=None if control is None else _share(control - up),
        p_value=None if p is None else _share(p * factor),
    )


def _share(x: float) -> float:
    return min(max(x, 0.0), 1.0)


def _outside(order: int | None, architecture: str, row: dict[str, Any] | None) -> str:
    """What a reader should know of a model unlike those that the threshold was set on."""
    if row is None or "orders" not in row or order is None:
        return ""
    (least, most), said = row["orders"], []
    if not least <= order <= most:
        said.append(f"groups of order {least} to {most}, and this one has {order}")
    if architecture not in row["architectures"]:
        said.append(f"architectures {', '.join(row['architectures'])}, and this one is {architecture}")
    return "".join(f"; calibrated on {what}" for what in said)
