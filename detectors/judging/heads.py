"""From the scores of a model's heads to a verdict for each, and one for the motif."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from detectors.core.heads import Heads, label
from detectors.core.registry import Spec
from detectors.core.score import Causal, Score
from detectors.core.verdict import Verdict
from detectors.judging.verdict import Judgement, judge

BEST = (Verdict.PRESENT, Verdict.INERT, Verdict.INCONCLUSIVE, Verdict.ABSENT)  # of a head's places, what it is called


def judged(spec: Spec, score: Score, p_adjusted: float | None, row: dict[str, Any] | None) -> tuple[Judgement, Score]:
    """The verdict, and the score as a report has it: of heads those that are not absent, with their verdicts."""
    if not isinstance(score, Heads):
        return judge(spec, score, p_adjusted, row), score
    verdict, heads, causal = judge_heads(spec, score, p_adjusted, row)
    return verdict, replace(score, heads=tuple(heads), causal=causal if score.causes else score.causal, causes=None)


def judge_heads(
    spec: Spec, score: Heads, p_adjusted: float | None, row: dict[str, Any] | None
) -> tuple[Judgement, list[dict[str, Any]], Causal | None]:
    """The motif is present where any head has it; else the strongest head's verdict stands. Of the heads those that are
    not absent, each with its verdict. The cause is that of the head that the verdict speaks of.

    A head's p-value is adjusted for the other heads, and is no smaller than the motif's after Holm: the motif is tested
    among the motifs of a report, and heads among those of a motif that passes.
    """
    found = []
    for head, causes in zip(score.heads, score.causes or _unknown(score), strict=True):
        own = [judge(spec, claim, adjusted, row) for claim, adjusted in _claims(score, head, causes, p_adjusted)]
        decides = min(range(len(own)), key=lambda i: BEST.index(own[i].verdict))
        found.append((_said(head, own), own[decides], causes[decides]))
    present = [head for head, j, _ in found if j.verdict is Verdict.PRESENT]
    best, causal = next(((j, c) for _, j, c in found if j.verdict is Verdict.PRESENT), found[0][1:])
    if len(present) > 1:
        best = Judgement(best.verdict, f"{best.reason}; present too: {', '.join(map(label, present[1:]))}")
    if score.unasked:
        weaker = f"{score.unasked} weaker heads have something too, whose causes were not asked for"
        best = Judgement(best.verdict, f"{best.reason}; {weaker}")
    return best, [head for head, j, _ in found if j.verdict is not Verdict.ABSENT], causal


def _claims(
    score: Heads, head: Mapping[str, Any], causes: tuple[Causal | None, ...], p_adjusted: float | None
) -> Iterator[tuple[Score, float | None]]:
    """What is said of a head, place by place where it has several."""
    for claim, causal in zip(head.get("places") or [head], causes, strict=True):
        p = claim["p_value"]
        null = None if score.null is None or p is None else replace(score.null, p_value=p)
        where = f", place {claim['place']}" if "place" in claim else ""
        remark = f"of head {label(head)}{where}"
        adjusted = None if null is None or p_adjusted is None else max(p, p_adjusted)
        yield Score(value=claim["score"], null=null, causal=causal, remark=remark), adjusted


def _said(head: Mapping[str, Any], own: list[Judgement]) -> dict[str, Any]:
    """The entry with its verdict, and those of its places."""
    verdict = min((j.verdict for j in own), key=BEST.index)
    said = {**head, "verdict": str(verdict)}
    if head.get("places"):
        said["places"] = [{**p, "verdict": str(j.verdict)} for p, j in zip(head["places"], own, strict=True)]
    return said


def _unknown(score: Heads) -> tuple[tuple[None, ...], ...]:
    """Of a score that was read from a report, which does not keep them."""
    return tuple((None,) * len(head.get("places") or [head]) for head in score.heads)
