"""How much of the first layer counts cosets of subgroups of each order, by operand."""

from __future__ import annotations

from detectors.core.picture import Picture, Shares
from detectors.motifs.coset_neurons import ALIGNED, CosetNeurons


def picture(score: CosetNeurons) -> list[Picture]:
    energy: dict[str, float] = {}
    for one in score.subgroups:
        name = f"order {one['order']}, {one['side']} operand"
        energy[name] = energy.get(name, 0.0) + one["energy"]
    if not energy:
        return []
    names = sorted(energy, key=lambda name: -energy[name])
    reading = (
        f"Share of the first layer's energy whose means over cosets explain {ALIGNED:.0%} of it, by the order of the "
        "largest such subgroup; both operands and all orders together make 100% where every neuron counts cosets."
    )
    data = Shares(names=names, shares=[min(energy[name], 1.0) for name in names])
    return [Picture(title="Cosets that the neurons count", reading=reading, data=data)]
