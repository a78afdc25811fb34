"""The neurons' spectrum; every live neuron as a dot; the strongest of the commonest irrep and its fit as heat maps."""

from __future__ import annotations

import numpy as np

from detectors.core.picture import Bars, HeatMap, Picture, Strip
from detectors.motifs.trig_product_neurons import Neurons, TrigProductNeurons


def picture(score: TrigProductNeurons) -> list[Picture]:
    if not score.irreps:
        return []
    reading = (
        "A bar is the share of all neurons' power that lies in the family of their own best irrep; what rises above "
        "the grey band is more than tokens in random order give."
    )
    bars = Bars(
        names=score.irreps,
        heights=score.power,
        chance=score.key_cuts,
        key=score.key_irreps,
        unit="share of the power",
        form=".0%",
    )
    spectrum = Picture(title="Power of the neurons per irrep", reading=reading, data=bars)
    return [spectrum] if score.neurons is None else [spectrum, _dots(score), *_heat_maps(score.neurons)]


def _dots(score: TrigProductNeurons) -> Picture:
    neurons = score.neurons
    assert neurons is not None
    drawn = len(neurons.numbers)
    cut = f" (the strongest {drawn} of {score.live})" if score.live > drawn else ""
    reading = (
        f"A dot is a live neuron{cut}: it stands over the irrep whose family explains most of it, as high as that "
        "share; the dotted line is at 85%, above which the paper counts a neuron."
    )
    strip = Strip(
        names=neurons.irreps,
        heights=neurons.shares,
        numbers=neurons.numbers,
        of="neuron",
        unit="share explained",
        line=0.85,
    )
    return Picture(title="Every neuron, by irrep and the share explained", reading=reading, data=strip)


def _heat_maps(neurons: Neurons) -> list[Picture]:
    bound = float(max(np.abs(neurons.values).max(), np.abs(neurons.fit).max()))
    irrep = neurons.irreps[neurons.numbers.index(neurons.example)].removeprefix("freq_")
    side, order = len(neurons.values), ", in the group's order" if neurons.relabelled else ""
    cut = (
        f" Only the first {side} of {neurons.order} elements of each operand are drawn." if side < neurons.order else ""
    )
    maps = [
        HeatMap(values=v, bound=bound, rows=f"a{order}", columns=f"b{order}") for v in (neurons.values, neurons.fit)
    ]
    return [
        Picture(
            title=f"Neuron {neurons.example}, the strongest of irrep {irrep}",
            reading=f"Its activation over all pairs about its mean: orange above, blue below.{cut}",
            data=maps[0],
            half=True,
        ),
        Picture(
            title=f"Its fit within irrep {irrep}",
            reading=f"Its projection, in the same colours: {neurons.fit_share:.1%} of its power. What both sides share "
            "is the motif.",
            data=maps[1],
            half=True,
        ),
    ]
