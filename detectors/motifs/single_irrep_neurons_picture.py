"""The irreps that neurons are of."""

from __future__ import annotations

from detectors.core.picture import Picture, Shares
from detectors.motifs.single_irrep_neurons import PURE, SingleIrrepNeurons


def picture(score: SingleIrrepNeurons) -> list[Picture]:
    if not score.irreps:
        return []
    names = [f"{name.removeprefix('freq_')} ({count})" for name, count in zip(score.irreps, score.neurons, strict=True)]
    reading = (
        f"Share of the first layer, each neuron counted by what it does to the logits, that is {PURE:.0%} of one "
        "irrep; in brackets the number of such columns, one for each operand of a neuron."
    )
    data = Shares(names=names, shares=score.weight)
    return [Picture(title="Neurons of one irrep", reading=reading, data=data)]
