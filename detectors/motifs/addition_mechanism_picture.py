"""Where each cluster stands: its phases, its likeness to a disc and to a torus, and what its circle does alone."""

from __future__ import annotations

from detectors.core.picture import Picture, Shares
from detectors.motifs.addition_mechanism import AdditionMechanism

READINGS = {
    "phase_concentration": "1: both operands have one phase in every neuron (a disc); 0: each has its own (a torus).",
    "disc": "CKA with cos wa + cos wb. A torus has 0.71 with it.",
    "torus": "CKA with cos and sin of wa and of wb. A disc has 0.71 with it.",
}


ALONE = (
    "Of the logits with one circle of the embedding kept: what the clock, cos w(a + b - c), and the pizza, with "
    "|cos(w(a - b) / 2)| before it, explain, 0% at least; and in grey the share of pairs that it answers right alone."
)


def picture(score: AdditionMechanism) -> list[Picture]:
    if not score.clusters:
        return []
    names = [f"frequency {c['frequency']} ({c['energy']:.0%})" for c in score.clusters]
    placed = [
        Picture(
            title=key.replace("_", " ").capitalize(),
            reading=reading,
            data=Shares(names=names, shares=[c[key] for c in score.clusters]),
            half=True,
        )
        for key, reading in READINGS.items()
    ]
    bars = [(f"{key}, {c['frequency']}", c[key]) for c in score.circles for key in ("clock", "pizza", "kept")]
    if not bars:
        return placed
    labels, shares = zip(*bars, strict=True)
    above = [None if share is None else max(0.0, share) for share in shares]
    weak = [label for label in labels if label.startswith("kept")]
    return [
        *placed,
        Picture(title="One circle alone", reading=ALONE, data=Shares(names=labels, shares=above, weak=weak)),
    ]
