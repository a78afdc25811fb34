"""What the slider of a page moves: the plane, a spectrum and a neuron, a frame a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from detectors.core.picture import Bars, Picture
from detectors.report.drawing import BLUE, DIVERGING, GREY, ORANGE, Figure, empty_plane, figure, label, place
from detectors.series.figures import neuron, scaled, spectra
from detectors.series.story import Story

FRAMES = 48  # of the slider: of longer series as many, evenly


class Panel(NamedTuple):
    """A picture with a frame a step. data: of every frame, for plotly; heading: above each."""

    title: str
    reading: str
    steps: list[int]
    headings: list[str]
    data: list[list[Figure]]
    layout: Figure
    height: int
    half: bool = False

    @property
    def figure(self) -> Figure:
        """The last frame."""
        return {"data": self.data[-1], "layout": self.layout}


def panels(story: Story, pictures: Mapping[int, Sequence[Picture]]) -> list[Panel]:
    """Of the steps that were scored; none of fewer than two."""
    known = [s for s in story.steps if s not in story.untold]
    steps = [known[i] for i in np.unique(np.linspace(0, len(known) - 1, min(len(known), FRAMES)).round().astype(int))]
    if len(steps) < 2:
        return []
    found = [_plane(story, steps)]
    for title, bars in list(spectra(pictures).items())[:1]:
        found.append(_spectrum(title, bars, steps))
    maps = {step: picture for step in steps if (picture := neuron(pictures.get(step, ())))}
    found.append(_neuron(maps, steps) if maps else None)
    return [panel for panel in found if panel is not None]


def _plane(story: Story, steps: list[int]) -> Panel | None:
    at = {s: (g, m) for s, g, m in zip(story.steps, story.g, story.m, strict=True) if g is not None and m is not None}
    if not at:
        return None
    frames = []
    for step in steps:
        past = [at[s] for s in story.steps if s in at and s <= step]
        trail: Figure = {
            "type": "scatter",
            "mode": "lines+markers",
            "x": [g for g, _ in past],
            "y": [m for _, m in past],
        }
        trail |= {
            "line": {"color": BLUE, "width": 1.5},
            "marker": {"size": 5},
            "hoverinfo": "skip",
            "showlegend": False,
        }
        here: Figure = {"type": "scatter", "mode": "markers", "x": [past[-1][0]] if past else [], "cliponaxis": False}
        here |= {"y": [past[-1][1]] if past else [], "showlegend": False}
        here |= {"marker": {"color": ORANGE, "size": 15, "symbol": "diamond", "line": {"width": 1.5, "color": "#fff"}}}
        frames.append([trail, here | {"hovertemplate": "G %{x:.3f}, M %{y:.3f}<extra></extra>"}])
    layout = empty_plane()["layout"]
    reading = "The diamond is the checkpoint of the slider, the line where the run came from."
    return Panel("The plane of generalisation and memorisation", reading, steps, [""] * len(steps), frames, layout, 380)


def _spectrum(title: str, bars: Mapping[int, Bars], steps: list[int]) -> Panel:
    names = sorted({name for one in bars.values() for name in one.names}, key=place)
    ticks, first = [label(name) for name in names], next(iter(bars.values()))
    frames = []
    for step in steps:
        one = bars.get(step)
        height = dict(zip(one.names, one.heights, strict=True)) if one else {}
        key = set(one.key) if one else set()
        bar: Figure = {"type": "bar", "x": ticks, "y": [float(f"{height.get(n, 0.0):.4g}") for n in names]}
        bar |= {"marker": {"color": [BLUE if n in key else GREY for n in names]}, "showlegend": False}
        frames.append([bar | {"hovertemplate": "%{x}: %{y:.3g}<extra></extra>"}])
    top = max((max(one.heights) for one in bars.values() if len(one.heights)), default=1.0)
    xaxis = {"title": {"text": f"{first.of}, by frequency"}, "type": "category", "showgrid": False, "nticks": 12}
    yaxis = {"title": {"text": first.unit}, "range": [0, 1.08 * top], "tickformat": first.form}
    layout = figure([], xaxis=xaxis, yaxis=yaxis, margin={"l": 56, "r": 8, "t": 8, "b": 48})["layout"]
    return Panel(title, "Blue: beyond the reach of chance.", steps, [""] * len(steps), frames, layout, 340, half=True)


def _neuron(maps: Mapping[int, Picture], steps: list[int]) -> Panel:
    frames, headings = [], []
    for step in steps:
        heat: Any = maps[step].data if step in maps else None
        data: Figure = {"type": "heatmap", "z": scaled(heat) if heat is not None else [[0]], "zmin": -100, "zmax": 100}
        frames.append([data | {"colorscale": DIVERGING, "showscale": False, "hoverinfo": "skip"}])
        headings.append(maps[step].title if step in maps else "no neuron is live")
    square = {"constrain": "domain", "showgrid": False, "showticklabels": False}
    yaxis = {"title": {"text": "a"}, "autorange": "reversed", "scaleanchor": "x", **square}
    margin = {"l": 40, "r": 8, "t": 8, "b": 40}
    layout = figure([], margin=margin, xaxis={"title": {"text": "b"}, **square}, yaxis=yaxis)["layout"]
    reading = "Orange above its mean, blue below, as strong as its largest value at that step."
    return Panel("The strongest neuron", reading, steps, headings, frames, layout, 340, half=True)
