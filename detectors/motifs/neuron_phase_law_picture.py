"""How far every neuron is from the law, by frequency."""

from __future__ import annotations

import math

from detectors.core.picture import Picture, Strip
from detectors.motifs.neuron_phase_law import NeuronPhaseLaw


def picture(score: NeuronPhaseLaw) -> list[Picture]:
    if not score.phases:
        return []
    reading = (
        "A dot is a neuron, over its frequency: at 100% where phi_a + phi_b = phi_c, at 0% where it is half a turn "
        "off; phases that know nothing of each other are all over."
    )
    data = Strip(
        names=[f"freq_{one['frequency']}" for one in score.phases],
        heights=[1 - _off(one["phi_a"] + one["phi_b"] - one["phi_c"]) / math.pi for one in score.phases],
        numbers=[one["neuron"] for one in score.phases],
        of="neuron",
        unit="agreement",
        line=1.0,
    )
    return [Picture(title="Phases of every neuron", reading=reading, data=data)]


def _off(angle: float) -> float:
    """The angle's distance from whole turns, in [0, pi]."""
    return abs((angle + math.pi) % (2 * math.pi) - math.pi)
