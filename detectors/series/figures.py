"""Figures of a whole run: curves by step, and what a slider shows as small multiples, for paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from detectors.core.picture import Bars, HeatMap, Picture
from detectors.report.drawing import DIVERGING, Drawn, Figure, figure, label, place
from detectors.series.story import SPLITS, Figures, Story

# told apart by dash and marker too
COLOURS = ("#2b7bba", "#d55e00", "#00896b", "#8b9099", "#a85a9c", "#7a6a00", "#4b5d8f")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid")
LIGHT_TO_DARK = [[0, "#f3f5f8"], [0.5, "#6ba3d0"], [1, "#08306b"]]
MULTIPLES = 8  # of the neuron, side by side in two rows
SIDE = 64  # of a map: of larger ones every second, third, ... row and column is drawn


def curves(story: Story) -> list[Drawn]:
    """Accuracies, the motifs' values with their onsets, and losses that were kept at every step."""
    found = []
    if story.steps:
        accuracy = {f"{s} pairs": story.accuracy[s] for s in SPLITS if s != "all" or _none(story, "train")}
        if any(v is not None for values in accuracy.values() for v in values):
            reading = "Share of the pairs answered right. Grey marks where it passes one half."
            found.append(Drawn("Accuracy by step", reading, _lines(story, accuracy, _marks(story, rise=True)), 340))
        motifs = {name: c.value for name, c in story.motifs.items() if any(v is not None for v in c.value)}
        reading = "Each motif's score. A grey band is the stretch between checkpoints in which one sets in."
        found.append(Drawn("Motifs by step", reading, _lines(story, motifs, _marks(story)), 400))
    if story.curves is not None:
        found.append(_losses(story))
    return found


def _none(story: Story, split: str) -> bool:
    return all(v is None for v in story.accuracy[split])


def _lines(story: Story, named: Mapping[str, Figures], shapes: list[Figure]) -> Figure:
    data = []
    for i, (name, values) in enumerate((n, v) for n, v in named.items() if any(x is not None for x in v)):
        line: Figure = {"type": "scatter", "mode": "lines+markers", "name": label(name), "x": story.steps, "y": values}
        line |= {
            "line": {"color": COLOURS[i % 7], "width": 2, "dash": DASHES[i % 7]},
            "marker": {"size": 5, "symbol": i},
        }
        line |= {"hovertemplate": f"step %{{x:,}}: %{{y:.3f}}<extra>{label(name)}</extra>"}
        data.append(line)
    xaxis = {"title": {"text": "step"}, "tickformat": "~s", "showgrid": False}
    return figure(data, xaxis=xaxis, yaxis={"range": [-0.03, 1.03]}, shapes=shapes, margin=_margin(len(data)))


def _margin(names: int) -> dict[str, int]:
    """Room for a legend of so many names, which a phone sets one below the other."""
    return {"l": 48, "r": 16, "t": 30 + 11 * names, "b": 48}


def _marks(story: Story, rise: bool = False) -> list[Figure]:
    found = [story.rise] if rise else list(story.onsets.values())
    bands = {(first if first is not None else then, then) for first, then in filter(None, found)}
    shared: Figure = {"type": "rect", "yref": "paper", "y0": 0, "y1": 1, "layer": "below"}
    return [
        shared | {"x0": first, "x1": then, "fillcolor": "rgba(139,144,153,0.18)", "line": {"width": 0}}
        for first, then in sorted(bands)
    ]


def _losses(story: Story) -> Drawn:
    assert story.curves is not None
    found = story.curves
    data = []
    for i, name in enumerate(("training pairs", "test pairs")):
        points = [(point[0], point[i + 1]) for point in found.points]
        line: Figure = {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "line": {"color": COLOURS[i], "dash": DASHES[i]},
        }
        line |= {"x": [x for x, _ in points], "y": [y for _, y in points]}
        data.append(line | {"hovertemplate": f"step %{{x:,}}: %{{y:.3g}}<extra>{name}</extra>"})
    yaxis = {"type": "log", "exponentformat": "power"} if found.unit == "loss" else {"range": [-0.03, 1.03]}
    drawn = figure(data, xaxis={"title": {"text": "step"}, "tickformat": "~s", "showgrid": False}, yaxis=yaxis)
    reading = f"The {found.unit} that was kept through training" + (
        ", on a scale of powers." if found.unit == "loss" else "."
    )
    return Drawn(f"Curves of the {found.unit}", reading, drawn, 340)


def through(story: Story, pictures: Mapping[int, Sequence[Picture]]) -> list[Drawn]:
    """Spectra by step, and the strongest neuron at a few steps."""
    found = [_spectra(title, bars) for title, bars in spectra(pictures).items()]
    neurons = {step: heat for step in sorted(pictures) if (heat := neuron(pictures[step]))}
    return found + ([_multiples(neurons)] if neurons else [])


def spectra(pictures: Mapping[int, Sequence[Picture]]) -> dict[str, dict[int, Bars]]:
    """Pictures of spectra by their title, each by step."""
    found: dict[str, dict[int, Bars]] = {}
    for step in sorted(pictures):
        for picture in pictures[step]:
            if isinstance(picture.data, Bars) and picture.data.names:
                found.setdefault(picture.title, {})[step] = picture.data
    return found


def neuron(pictures: Sequence[Picture]) -> Picture | None:
    """The map of the strongest neuron, which comes before that of its fit."""
    return next((picture for picture in pictures if isinstance(picture.data, HeatMap)), None)


def _spectra(title: str, bars: Mapping[int, Bars]) -> Drawn:
    names = sorted({name for one in bars.values() for name in one.names}, key=place)
    rows = [dict(zip(one.names, one.heights, strict=True)) for one in bars.values()]
    z = [[float(f"{row.get(name, 0.0):.3g}") for row in rows] for name in names]
    unit = next(iter(bars.values())).unit
    data: Figure = {"type": "heatmap", "x": list(range(len(bars))), "y": [label(n) for n in names], "z": z}
    data |= {"colorscale": LIGHT_TO_DARK, "zmin": 0, "zmax": max(map(max, z)), "customdata": [list(bars)] * len(names)}
    data |= {"hovertemplate": "%{y}, step %{customdata:,}: %{z:.3g}<extra></extra>", "colorbar": _bar(unit)}
    ticks = np.unique(np.linspace(0, len(bars) - 1, min(len(bars), 7)).round().astype(int)).tolist()
    steps = list(bars)
    xaxis = {
        "title": {"text": "step"},
        "tickvals": ticks,
        "ticktext": [f"{steps[i]:,}" for i in ticks],
        "showgrid": False,
    }
    kind = "frequency" if names[0].startswith("freq_") else next(iter(bars.values())).of
    yaxis = {"title": {"text": kind}, "type": "category", "showgrid": False, "nticks": 14}
    drawn = figure([data], xaxis=xaxis, yaxis=yaxis, margin={"l": 56, "r": 8, "t": 8, "b": 48})
    reading = "A column is a checkpoint: every irrep is drawn, so that none is judged by where training ended."
    return Drawn(f"{title}, by step", reading, drawn, min(220 + 9 * len(names), 460))


def _bar(unit: str) -> Figure:
    return {"thickness": 10, "outlinewidth": 0, "nticks": 4, "title": {"text": unit, "side": "right"}}


def scaled(heat: HeatMap) -> list[list[int]]:
    """A map in hundredths of its largest value, of large ones not every row and column."""
    every = -(-max(heat.values.shape) // SIDE)
    found = heat.values[::every, ::every]
    return np.rint(100 * found / max(float(np.abs(found).max()), 1e-12)).astype(int).tolist()


def _multiples(neurons: Mapping[int, Picture]) -> Drawn:
    chosen = np.unique(np.linspace(0, len(neurons) - 1, MULTIPLES).round().astype(int)).tolist()
    steps = [list(neurons)[i] for i in chosen]
    columns, data, layout, names = 4, [], {}, []
    rows = -(-len(steps) // columns)
    for i, step in enumerate(steps):
        heat: Any = neurons[step].data
        axis, (row, column) = "" if i == 0 else str(i + 1), divmod(i, columns)
        data.append({"type": "heatmap", "z": scaled(heat), "zmin": -100, "zmax": 100, "colorscale": DIVERGING})
        data[-1] |= {"showscale": False, "xaxis": f"x{axis}", "yaxis": f"y{axis}", "hoverinfo": "skip"}
        left, top = column / columns, 1 - row / rows
        wide, high = 0.92 / columns, (0.86 if rows > 1 else 0.9) / rows
        bare = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": "", "fixedrange": True}
        bare |= {"constrain": "domain", "constraintoward": "top"}
        layout[f"xaxis{axis}"] = bare | {"domain": [left, left + wide], "anchor": f"y{axis}", "constraintoward": "left"}
        down = {"domain": [top - high - 0.06 / rows, top - 0.06 / rows], "anchor": f"x{axis}", "autorange": "reversed"}
        down["scaleanchor"] = f"x{axis}"
        layout[f"yaxis{axis}"] = bare | down
        at = {"xref": "paper", "yref": "paper", "x": left, "y": top, "xanchor": "left", "yanchor": "middle"}
        names.append(at | {"text": f"{step:,}", "showarrow": False})
    drawn = figure(data, annotations=names, margin={"l": 8, "r": 8, "t": 14, "b": 8}, **layout)
    reading = "Its activation over all pairs about its mean, a down and b to the right; the strongest of its irrep."
    return Drawn("The strongest neuron through training", reading, drawn, 60 + 190 * rows)
