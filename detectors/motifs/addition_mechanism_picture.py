"""Where each cluster stands: its phases, and its likeness to a disc and to a torus."""

from __future__ import annotations

from detectors.core.picture import Picture, Shares
from detectors.motifs.addition_mechanism import AdditionMechanism

READINGS = {
    "phase_concentration": "1: both operands have one phase in every neuron (a disc); 0: each has its own (a torus).",
    "disc": "CKA with cos wa + cos wb. A torus has 0.71 with it.",
    "torus": "CKA with cos and sin of wa and of wb. A disc has 0.71 with it.",
}


def picture(score: AdditionMechanism) -> list[Picture]:
    if not score.clusters:
        return []
    names = [f"frequency {c['frequency']} ({c['energy']:.0%})" for c in score.clusters]
    return [
        Picture(
            title=key.replace("_", " ").capitalize(),
            reading=reading,
            data=Shares(names=names, shares=[float(c[key]) for c in score.clusters]),
            half=True,
        )
        for key, reading in READINGS.items()
    ]
