"""Pictures that need the model itself: the share of every neuron in its family, and one neuron beside its fit."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detectors.core.spectrum import BUDGET, family_power, grid_neurons
from detectors.core.view import ModelView
from detectors.harness.report.drawing import BLUE, Figure, Picture, dotted, figure, in_order, label, names_axis

DEAD = 1e-6  # of the median power, as the detector counts them
MOST = 5000  # neurons drawn
SIDE = 128  # elements of an operand drawn
DIVERGING = [[0, "#2166ac"], [0.5, "#f7f7f7"], [1, "#b35806"]]  # as far apart for the colour-blind


class Shares(NamedTuple):
    """Of the live neurons, strongest first and at most `MOST`: number, name of the irrep, share of their power."""

    number: list[int]
    irrep: list[str]
    share: list[float]
    live: int


class Fitted(NamedTuple):
    """A neuron about its mean over the group's elements, and its projection onto a family, both [order, order]."""

    neuron: Tensor
    fit: Tensor
    share: float


def neuron_pictures(model: ModelView) -> list[Picture]:
    """Every live neuron as a dot; the strongest of the irrep that most have, and its fit, as heat maps."""
    shares = by_irrep(model)
    if not shares.number:
        return []
    common = max(dict.fromkeys(shares.irrep), key=shares.irrep.count)
    return [_dots(shares), *_heat_maps(model, shares.number[shares.irrep.index(common)], common)]


def by_irrep(model: ModelView) -> Shares:
    """The largest share of every live neuron's power in one family {trivial, irrep} x {trivial, irrep}.

    >>> import models_zoo
    >>> found = by_irrep(models_zoo.trig_mlp(p=11, frequencies=(3,), act_fn="square"))
    >>> set(found.irrep), round(min(found.share), 6)
    ({'freq_3'}, 0.8)
    """
    group, neurons, grid = model.group, model.neurons(), model.grid
    size = max(1, BUDGET // group.order**2)
    parts = [family_power(group, grid_neurons(neurons, grid, c)) for c in torch.arange(neurons.shape[1]).split(size)]
    total, power = (torch.cat(column) for column in zip(*parts, strict=True))
    positive = total[total > 0]
    live = int((total > DEAD * positive.median()).sum()) if len(positive) else 0
    chosen = total.argsort(descending=True, stable=True)[: min(live, MOST)]
    best = power[chosen].max(1)
    return Shares(
        number=chosen.tolist(),
        irrep=[group.irreps[i + 1].name for i in best.indices.tolist()],
        share=(best.values / total[chosen]).tolist(),
        live=live,
    )


def fitted(model: ModelView, number: int, irrep: str) -> Fitted:
    """One neuron, and what the family of one irrep makes of it."""
    group = model.group
    neuron = grid_neurons(model.neurons(), model.grid, torch.tensor([number]))[0].double()
    neuron = neuron - neuron.mean()
    block = group.slices[[i.name for i in group.irreps].index(irrep)]
    constant = torch.full((group.order, 1), group.order**-0.5, dtype=torch.float64)
    q = torch.cat([constant, torch.from_numpy(group.basis)[:, block]], dim=1)
    fit = q @ (q.T @ neuron @ q) @ q.T
    return Fitted(neuron, fit, float(fit.square().sum() / neuron.square().sum()))


def _dots(shares: Shares) -> Picture:
    names = sorted(dict.fromkeys(shares.irrep), key=shares.irrep.count, reverse=True)
    names = [names[i] for i in in_order(names)]
    x, y, who = [], [], []
    for place, name in enumerate(names):
        own = sorted((s, n) for i, s, n in zip(shares.irrep, shares.share, shares.number, strict=True) if i == name)
        x += [round(place + 0.7 * ((rank + 0.5) / len(own) - 0.5), 4) for rank in range(len(own))]
        y += [s for s, _ in own]
        who += [n for _, n in own]
    dots: Figure = {
        "type": "scatter",
        "mode": "markers",
        "x": x,
        "y": y,
        "customdata": who,
        "marker": {"color": BLUE, "size": 5, "opacity": 0.7},
        "hovertemplate": "neuron %{customdata}: %{y:.1%}<extra></extra>",
    }
    ticks = [f"{label(name)}<br>\N{MULTIPLICATION SIGN}{shares.irrep.count(name)}" for name in names]
    drawn = figure(
        [dots],
        xaxis=names_axis("irrep, and its neurons", ticks, 3),
        yaxis={"title": {"text": "share explained"}, "range": [-0.02, 1.04], "tickformat": ".0%"},
        shapes=[dotted(0.85)],
        margin={"l": 56, "r": 16, "t": 12, "b": 48},
    )
    cut = f" (the strongest {len(shares.number)} of {shares.live})" if shares.live > len(shares.number) else ""
    reading = (
        f"A dot is a live neuron{cut}: it stands over the irrep whose family explains most of it, as high as that "
        "share; the dotted line is at 85%, above which the paper counts a neuron."
    )
    return Picture("Every neuron, by irrep and the share explained", reading, drawn)


def _heat_maps(model: ModelView, number: int, irrep: str) -> list[Picture]:
    neuron, fit, share = fitted(model, number, irrep)
    n, bound = len(neuron), float(torch.maximum(neuron[:SIDE, :SIDE].abs().max(), fit[:SIDE, :SIDE].abs().max()))
    cut = f" Only the first {SIDE} of {n} elements of each operand are drawn." if n > SIDE else ""
    named = all(np.array_equal(tokens, np.arange(n)) for tokens in (model.labels.left, model.labels.right))
    order = "" if named else ", in the group's order"
    whose = f"irrep {irrep.removeprefix('freq_')}"
    return [
        Picture(
            f"Neuron {number}, the strongest of {whose}",
            f"Its activation over all pairs about its mean: orange above, blue below.{cut}",
            _heat_map(neuron, bound, order),
            height=420,
            half=True,
        ),
        Picture(
            f"Its fit within {whose}",
            f"Its projection, in the same colours: {share:.1%} of its power. What both sides share is the motif.",
            _heat_map(fit, bound, order),
            height=420,
            half=True,
        ),
    ]


def _heat_map(values: Tensor, bound: float, order: str) -> Figure:
    z = [[float(f"{v:.4g}") for v in row] for row in values[:SIDE, :SIDE].tolist()]
    bar = {"orientation": "h", "thickness": 10, "y": -0.22, "yanchor": "top", "outlinewidth": 0, "nticks": 5}
    heat: Figure = {
        "type": "heatmap",
        "z": z,
        "zmin": -bound,
        "zmax": bound,
        "colorscale": DIVERGING,
        "colorbar": bar,
        "hovertemplate": "a = %{y}, b = %{x}: %{z:.3g}<extra></extra>",
    }
    return figure(
        [heat],
        margin={"l": 48, "r": 8, "t": 8, "b": 8},
        xaxis={"title": {"text": f"b{order}"}, "constrain": "domain", "showgrid": False},
        yaxis={
            "title": {"text": f"a{order}"},
            "autorange": "reversed",
            "scaleanchor": "x",
            "constrain": "domain",
            "showgrid": False,
        },
    )
