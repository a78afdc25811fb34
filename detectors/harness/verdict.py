"""From a score to a verdict. Policy lives here and in calibration.json, never in a motif."""

from __future__ import annotations

import json
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from typing import Any, Literal

from detectors.core.registry import Spec
from detectors.core.score import Causal, Score

Verdict = Literal["present", "inert", "absent", "inconclusive", "not_applicable", "error"]

ZOO_DIGESTS = "detectors.zoo_digests"  # entry points: functions that give the digest of an installed zoo
LEVEL = 0.05  # family-wise, over the detectors of one report
NOISE = 0.05  # a necessity this close to its control is no effect, however many pairs


@cache
def calibration() -> dict[str, Any]:
    """The shipped table of thresholds and error rates; its rows are `stale` where the zoo is not the one it is of."""
    table: dict[str, Any] = json.loads(files("detectors.harness").joinpath("calibration.json").read_text())
    installed = [entry.load()() for entry in entry_points(group=ZOO_DIGESTS)]
    if installed and table["zoo"] not in installed:
        table["status"] = "stale"
        table["rows"] = {name: {**row, "stale": True} for name, row in table["rows"].items()}
    return table


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


def judge(spec: Spec, score: Score, p_adjusted: float | None, row: dict[str, Any] | None) -> tuple[Verdict, str]:
    """Verdict and the condition that decided it, with its margin. row: the detector's line of the calibration."""
    if row is None:
        return "inconclusive", "this detector has no calibrated threshold"
    if row.get("stale"):
        return (
            "inconclusive",
            "the calibration is of another zoo than the one installed: `make calibrate` makes it anew",
        )
    if row["version"] != spec.version:
        return (
            "inconclusive",
            f"the threshold is for version {row['version']} of this detector, which is at {spec.version}",
        )
    threshold = row["threshold"]
    margin = f"score {score.value:.3f}, threshold {threshold:.2f}"
    if score.value < threshold:
        return "absent", f"the structure is not there: {margin}"
    if score.null is None or p_adjusted is None:
        return "inconclusive", f"no null was drawn: {margin}"
    if p_adjusted > LEVEL:
        factor = p_adjusted / score.null.p_value
        if factor * score.null.smallest > LEVEL:
            return "inconclusive", (
                f"no p-value small enough can be had: the smallest with {score.null.draws} draws and this many tokens "
                f"is {score.null.smallest:.3f}, {factor * score.null.smallest:.3f} after Holm; more --draws may help"
            )
        return "absent", f"not beyond chance: adjusted p {p_adjusted:.3f} > {LEVEL}, though {margin}"
    if not spec.causal:
        return "present", f"{margin}, adjusted p {p_adjusted:.3f}"
    if score.causal is None:
        return "inconclusive", (
            f"the structure is there ({margin}), but the model answers too few pairs right, or none beyond chance, "
            "to test what removing it does"
        )
    effect, noise = _effect(score.causal), _noise(score.causal)
    control = "no control available" if score.causal.control is None else f"control {score.causal.control:.2f}"
    cause = f"necessity {score.causal.necessity:.2f}, {control}, {score.causal.pairs} pairs"
    if effect <= noise:
        return "inert", f"the structure is there ({margin}) and removing it changes nothing: {cause}"
    return "present", f"{margin}, adjusted p {p_adjusted:.3f}, {cause}"


def _effect(causal: Causal) -> float:
    return causal.necessity - (causal.control or 0.0)


def _noise(causal: Causal) -> float:
    """Two standard errors of the difference between two shares, at least 5 points."""
    shares = [causal.necessity, causal.control or 0.0]
    return max(NOISE, float(2 * (sum(s * (1 - s) for s in shares) / causal.pairs) ** 0.5))
