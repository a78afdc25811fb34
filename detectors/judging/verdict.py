"""From a score to a verdict. Policy lives here and in calibration.json, never in a motif."""

from __future__ import annotations

from typing import Any, NamedTuple

from detectors.core.registry import Spec
from detectors.core.score import Causal, Score
from detectors.core.verdict import Verdict

LEVEL = 0.05  # the usual chance of anything present where nothing is there, over all detectors of a report
# A necessity this close to its control is no effect, however many pairs. In published networks that generalise
# (arXiv:2302.03025, 100 of them) other irreps move at most 0.005 of the answers, the circuit's at least 0.54.
NOISE = 0.05
# What the motif alone must keep of the answers: half-way between networks of the population that generalise, at least
# 0.60 where a control leaves their answers alone, and published memorisers whose embedding or neurons look like a
# motif, at most 0.49 (arXiv:2302.03025). Others of the population keep up to 0.65, of a value under the threshold.
SUFFICIENT = 0.55
# Of the answers, by random directions outside the motif: 0.005 in those networks, 0.27 and more in memorisers. A model
# that breaks wherever it is touched says nothing of this motif.
DESTROYS = 0.25
# Draws as large as the largest value that there is: from so many on their share is known to a half, and it stays.
OFTEN = 5


class Judgement(NamedTuple):
    """A verdict, and the condition that decided, with its margin."""

    verdict: Verdict
    reason: str


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjustment (Scandinavian Journal of Statistics 6, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = running
    return adjusted


def judge(spec: Spec, score: Score, p_adjusted: float | None, row: dict[str, Any] | None) -> Judgement:
    """row: of the detector in calibration.json, or None. p_adjusted: after Holm, None where no null was drawn."""
    if unfit := _unfit(spec, row):
        return Judgement(Verdict.INCONCLUSIVE, unfit)
    assert row is not None
    margin = f"score {score.value:.3f}, threshold {row['threshold']:.2f}"
    if score.remark:
        margin = f"{margin}; {score.remark}"
    if score.value < row["threshold"] and score.unsettled:
        return Judgement(Verdict.INCONCLUSIVE, f"{score.unsettled}: {margin}")
    if score.value < row["threshold"]:
        return Judgement(Verdict.ABSENT, f"the structure is not there: {margin}")
    if not spec.chance:
        return _by_cause(score.causal, margin, margin)
    if score.null is None or p_adjusted is None:
        return Judgement(Verdict.INCONCLUSIVE, f"no null was drawn: {margin}")
    if p_adjusted > LEVEL:
        smallest = p_adjusted / score.null.p_value * score.null.smallest
        if smallest > LEVEL:
            as_often = round(score.null.smallest * (score.null.draws + 1)) - 1  # as the largest there is
            more = "more --draws may help" if as_often < OFTEN else "it is as large in many draws, and more do not help"
            return Judgement(
                Verdict.INCONCLUSIVE,
                f"no p-value small enough can be had: the smallest with {score.null.draws} draws and this many tokens "
                f"is {score.null.smallest:.3f}, {smallest:.3f} after Holm; {more}",
            )
        return Judgement(Verdict.ABSENT, f"not beyond chance: adjusted p {p_adjusted:.3f} > {LEVEL}, though {margin}")
    beyond = f"{margin}, adjusted p {p_adjusted:.3f}"
    return _by_cause(score.causal, margin, beyond) if spec.causal else Judgement(Verdict.PRESENT, beyond)


def _unfit(spec: Spec, row: dict[str, Any] | None) -> str:
    """Why a calibration does not judge this detector; empty where it does."""
    if row is None:
        return "this detector has no calibrated threshold"
    if row.get("stale"):
        return "the calibration is of another zoo than the one installed: `make calibrate` makes it anew"
    if row["version"] != spec.version:
        return f"the threshold is for version {row['version']} of this detector, which is at {spec.version}"
    return ""


def _kept(causal: Causal) -> str:
    return "" if causal.sufficiency is None else f"sufficiency {causal.sufficiency:.2f}, "


def _by_cause(causal: Causal | None, margin: str, beyond: str) -> Judgement:
    if causal is None:
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"the structure is there ({margin}), but on pairs that can show what removing it does, the model gives "
            "too few right answers, or none beyond chance; it may be that nobody says which pairs those are",
        )
    if causal.control is None and not causal.of_loss:
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"the structure is there ({margin}), but it leaves too few dimensions to remove others for a control",
        )
    control = causal.control or 0.0
    beside = f"{causal.where}" if causal.control is None else f"control {control:.2f}, {causal.where}"
    cause = f"necessity {causal.necessity:.2f}, {_kept(causal)}{beside}"
    if control >= DESTROYS:
        return Judgement(
            Verdict.INCONCLUSIVE,
            f"the structure is there ({margin}), but random directions beside it destroy the answers too: {cause}",
        )
    if causal.necessity - control <= NOISE:
        return Judgement(Verdict.INERT, f"the structure is there ({margin}) and removing it changes nothing: {cause}")
    if causal.p_value is not None and causal.p_value > LEVEL:
        no_more = f"what removing it changes is within chance (p {causal.p_value:.3f}): {cause}"
        return Judgement(Verdict.INERT, f"the structure is there ({margin}) and {no_more}")
    if causal.sufficiency is not None and causal.sufficiency < SUFFICIENT:
        return Judgement(
            Verdict.INCONCLUSIVE, f"the structure is there ({margin}) and used, but does not answer alone: {cause}"
        )
    return Judgement(Verdict.PRESENT, f"{beyond}, {cause}")
