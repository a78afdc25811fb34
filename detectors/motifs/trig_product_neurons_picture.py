"""The neurons' spectrum; every live neuron as a dot; the strongest of the commonest irrep and its fit as heat maps."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from detectors.core.irreps import spectrum_bars
from detectors.core.picture import HeatMap, Picture, Strip
from detectors.motifs.trig_product_neurons import EXPLAINED, Neurons, TrigProductNeurons


def picture(score: TrigProductNeurons) -> list[Picture]:
    reading = (
        "A bar is the share of all neurons' power that lies in the family of their own best irrep; what rises above "
        "the grey band is more than tokens in random order give."
    )
    spectrum = spectrum_bars(score, score.power, "Power of the neurons per irrep", reading)
    neurons = score.neurons
    return spectrum if neurons is None else [*spectrum, _dots(neurons, score.live), *_heat_maps(neurons)]


def _dots(neurons: Neurons, live: int) -> Picture:
    irreps, heights, numbers = neurons.irreps, neurons.shares, neurons.numbers
    cut = f" (the strongest {len(numbers)} of {live})" if live > len(numbers) else ""
    reading = (
        f"A dot is a live neuron of layer {neurons.layer}{cut}: it stands over the irrep whose family "
        "explains most of it, as high as that share; the dotted line is at 85%, above which the paper counts a neuron."
    )
    unit = "share explained"
    dots = Strip(names=irreps, heights=heights, numbers=numbers, of="neuron", unit=unit, line=EXPLAINED)
    return Picture(title="Every neuron, by irrep and the share explained", reading=reading, data=dots)


def _heat_maps(neurons: Neurons) -> list[Picture]:
    irrep = neurons.irreps[neurons.numbers.index(neurons.example)].removeprefix("freq_")
    side, n = len(neurons.values), neurons.order
    cut = f" Only the first {side} of {n} elements of each operand are drawn." if side < n else ""
    whole = f"Its activation over all pairs about its mean: orange above, blue below.{cut}"
    fit = f"Its projection, in the same colours: {neurons.fit_share:.1%} of its power."
    bound = float(max(np.abs(neurons.values).max(), np.abs(neurons.fit).max()))
    rows, columns = ("a, in the group's order", "b, in the group's order") if neurons.relabelled else ("a", "b")

    def drawn(title: str, reading: str, values: Float[np.ndarray, "a b"]) -> Picture:
        data = HeatMap(values=values, bound=bound, rows=rows, columns=columns)
        return Picture(title=title, reading=reading, data=data, half=True)

    return [
        drawn(f"Neuron {neurons.example}, the strongest of irrep {irrep}", whole, neurons.values),
        drawn(f"Its fit within irrep {irrep}", f"{fit} What both sides share is the motif.", neurons.fit),
    ]
