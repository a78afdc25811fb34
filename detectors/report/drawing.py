"""From pictures as plain data to the data and layout that plotly.js takes."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import singledispatch
from typing import Any, NamedTuple

from detectors.core.phases import HALF, REGIONS
from detectors.core.picture import Bars, HeatMap, Picture, Shares, Strip
from detectors.core.score import Causal
from detectors.core.verdict import Verdict
from detectors.core.visible import visible
from detectors.judging.detection import Detection
from detectors.report.model import Document

Figure = dict[str, Any]

# each stands out by 3 to 1 or more on white and on near-black, and they differ for the colour-blind
BLUE, ORANGE, GREY, BAND = "#2b7bba", "#d55e00", "#8b9099", "rgba(139,144,153,0.3)"
DIVERGING = [[0, "#2166ac"], [0.5, "#f7f7f7"], [1, "#b35806"]]  # as far apart for the colour-blind
OUTSIDE = {"textposition": "outside", "cliponaxis": False}
MOST = 60  # bars drawn, the strongest: more are narrower than their labels

FREQUENCY = re.compile(r"freq_(\d+)")


class Drawn(NamedTuple):
    """A picture with its figure. height: pixels, kept free until it is drawn."""

    title: str
    reading: str
    figure: Figure
    height: int
    half: bool = False


def pictures(detection: Detection, report: Document) -> list[Drawn]:
    """What there is to draw of a detection: its own pictures, its place in the plane of G and M, its cause."""
    if not detection.verdict.settled:
        return []
    order = report.task.order or 0
    filled = [p for p in detection.pictures if isinstance(p.data, HeatMap) or p.data.names]
    own = [drawing_of(p, order) for p in filled]
    plane = _plane(report) if detection.spec and detection.spec.axis == "G" else []
    return plane + own + _cause(detection)


def drawing_of(picture: Picture, order: int = 0) -> Drawn:
    """A picture with its figure. order: of the task's group, which sets an axis of frequencies."""
    return Drawn(picture.title, _reading(picture), *draw(picture.data, order), half=picture.half)


def _reading(picture: Picture) -> str:
    if not isinstance(picture.data, Bars) or (n := len(picture.data.names)) <= MOST:
        return picture.reading
    return f"{picture.reading} The {MOST} strongest of {n} {picture.data.of}s are drawn."


@singledispatch
def draw(data: object, order: int) -> tuple[Figure, int]:
    """The figure of a picture's data, and its height in pixels. order: of the task's group, 0 where there is none."""
    raise TypeError(f"no picture is made of {type(data).__name__}")


@draw.register
def _(bars: Bars, order: int) -> tuple[Figure, int]:
    strongest = list(zip(bars.names, bars.heights, bars.chance, strict=True))[:MOST]
    rows = sorted(strongest, key=lambda row: place(row[0]))
    at = [frequency(name) for name, _, _ in rows]
    axis: Figure = {"title": {"text": "frequency k"}, "range": [0.3, max(*(k or 0 for k in at), order // 2, 8) + 0.7]}
    if None in at:
        at, axis = list(range(len(rows))), names_axis(bars.of, [label(name) for name, _, _ in rows], 8)
    placed = [(x, *row, row[0] in bars.key) for x, row in zip(at, rows, strict=True)]
    data = [_bars(bars.band, BAND, 1.0, bars, [(x, cut, n) for x, n, _, cut, _ in placed])]
    for name, colour, key in ((f"key {bars.of}s", BLUE, True), (f"other {bars.of}s", GREY, False)):
        if chosen := [(x, height, n) for x, n, height, _, is_key in placed if is_key == key]:
            data.append(_bars(name, colour, 0.66, bars, chosen, labelled=key))
    heights = [h for _, *pair in rows for h in pair]
    bounds = [min(0.0, *heights), max(*heights, 1e-9) * 1.25]
    yaxis = {"title": {"text": bars.unit}, "range": bounds, "tickformat": bars.form}
    return figure(data, xaxis={**axis, "showgrid": False}, yaxis=yaxis), 320


def _bars(name: str, colour: str, width: float, bars: Bars, rows: list[Any], labelled: bool = False) -> Figure:
    """rows: (place, height, irrep). Irreps that are not key are hatched, so that colour is not all that tells."""
    shape = "/" if colour == GREY else ""
    return {
        "type": "bar",
        "name": name,
        "x": [x for x, _, _ in rows],
        "y": [y for _, y, _ in rows],
        "width": width,
        "customdata": [label(irrep) for _, _, irrep in rows],
        "text": [f"{label(irrep)}<br>{y:{bars.form}}" if labelled else "" for _, y, irrep in rows],
        **OUTSIDE,
        "constraintext": "none",
        "marker": {"color": colour, "pattern": {"shape": shape}, "line": {"width": 0}},
        "hovertemplate": f"{bars.of} %{{customdata}}: %{{y:{bars.form}}}<extra>{name}</extra>",
    }


@draw.register
def _(strip: Strip, order: int) -> tuple[Figure, int]:
    counts = Counter(strip.names)
    names = sorted((name for name, _ in counts.most_common()), key=place)
    dots = []
    for at, name in enumerate(names):  # side by side over their name, from the lowest to the highest
        own = sorted((h, k) for n, h, k in zip(strip.names, strip.heights, strip.numbers, strict=True) if n == name)
        dots += [(round(at + 0.7 * ((i + 0.5) / len(own) - 0.5), 4), *dot) for i, dot in enumerate(own)]
    x, y, numbers = (list(column) for column in zip(*dots, strict=True))
    data: Figure = {"type": "scatter", "mode": "markers", "x": x, "y": y, "customdata": numbers}
    data |= {"marker": {"color": BLUE, "size": 5, "opacity": 0.7}}
    data |= {"hovertemplate": f"{strip.of} %{{customdata}}: %{{y:.1%}}<extra></extra>"}
    ticks = [f"{label(name)}<br>\N{MULTIPLICATION SIGN}{counts[name]}" for name in names]
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": strip.line, "y1": strip.line}
    drawn = figure(
        [data],
        xaxis=names_axis(f"irrep, and its {strip.of}s", ticks, 3),
        yaxis={"title": {"text": strip.unit}, "range": [-0.02, 1.04], "tickformat": ".0%"},
        shapes=[line | {"line": {"color": GREY, "width": 1.5, "dash": "dot"}}],
        margin={"l": 56, "r": 16, "t": 12, "b": 48},
    )
    return drawn, 320


@draw.register
def _(heat: HeatMap, order: int) -> tuple[Figure, int]:
    z = [[float(f"{v:.4g}") for v in row] for row in heat.values.tolist()]
    bar = {"orientation": "h", "thickness": 10, "y": -0.22, "yanchor": "top", "outlinewidth": 0, "nticks": 5}
    data: Figure = {"type": "heatmap", "z": z, "zmin": -heat.bound, "zmax": heat.bound, "colorscale": DIVERGING}
    data |= {
        "colorbar": bar,
        "hovertemplate": f"{heat.rows} = %{{y}}, {heat.columns} = %{{x}}: %{{z:.3g}}<extra></extra>",
    }
    square = {"constrain": "domain", "showgrid": False}
    yaxis = {"title": {"text": heat.rows}, "autorange": "reversed", "scaleanchor": "x", **square}
    xaxis = {"title": {"text": heat.columns}, **square}
    return figure([data], margin={"l": 48, "r": 8, "t": 8, "b": 8}, xaxis=xaxis, yaxis=yaxis), 420


@draw.register
def _(data: Shares, order: int) -> tuple[Figure, int]:
    colours = iter([ORANGE, BLUE] * len(data.names))
    bars: Figure = {
        "type": "bar",
        "orientation": "h",
        "x": list(data.shares),
        "y": list(data.names),
        "width": 0.6,
        "marker": {"color": [GREY if name in data.weak else next(colours) for name in data.names]},
        "text": ["" if share is None else f"{share:.1%}".replace(".0%", "%") for share in data.shares],
        **OUTSIDE,
        "hovertemplate": "%{y}: %{x:.2%}<extra></extra>",
    }
    absent = {"x": 0, "text": "none available", "xanchor": "left", "showarrow": False}
    drawn = figure(
        [bars],
        annotations=[absent | {"y": n} for n, s in zip(data.names, data.shares, strict=True) if s is None],
        margin={"l": 120, "r": 16, "t": 8, "b": 40},
        xaxis={"range": [0, 1.18], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        yaxis={"autorange": "reversed", "type": "category", "showgrid": False},
    )
    return drawn, 130 + 30 * len(data.names)


def _plane(report: Document) -> list[Drawn]:
    """G and M of the model, where both are known."""
    at = {d.spec.axis: d.score for d in report if d.verdict.settled and d.spec and d.spec.axis}
    g, m = at.get("G"), at.get("M")
    if g is None or m is None:
        return []
    plane = empty_plane()
    point: Figure = {"type": "scatter", "mode": "markers", "x": [g], "y": [m], "cliponaxis": False}
    point |= {"marker": {"color": ORANGE, "size": 15, "symbol": "diamond", "line": {"width": 1.5, "color": "#ffffff"}}}
    point |= {"hovertemplate": "G %{x:.3f}, M %{y:.3f}<extra>this model</extra>"}
    away = {"ax": -50 if g > HALF else 50, "ay": 45 if m > HALF else -45, "xanchor": "right" if g > HALF else "left"}
    here = f"<b>this model: G {g:.2f}, M {m:.2f}</b>"
    said = {"x": g, "y": m, "text": here, "arrowcolor": ORANGE, "arrowhead": 0, "standoff": 8, **away}
    reading = (
        "The diamond is this model; training runs from bottom left, by way of the top where it memorises, to bottom "
        "right, where the structured part of the logits answers pairs that were never trained on and nothing is "
        "answered by rote."
    )
    plane["layout"]["annotations"].append(said)
    plane["data"].append(point)
    return [Drawn("The plane of generalisation and memorisation", reading, plane, 400)]


def empty_plane() -> Figure:
    """The plane of G and M with the names of its regions."""
    shapes, names = [], []
    for (name, r), tint in zip(REGIONS.items(), (0.06, 0.22, 0.14, 0.06), strict=True):
        fill = {"fillcolor": f"rgba(139,144,153,{tint})", "line": {"color": GREY, "width": 1}, "layer": "below"}
        shapes.append({"type": "rect", "x0": r.left, "x1": r.right, "y0": r.low, "y1": r.high, **fill})
        names.append(
            {
                "x": (r.left + r.right) / 2,
                "y": (r.low + r.high) / 2,
                "text": name,
                "showarrow": False,
                "font": {"size": 11},
            }
        )
    xaxis = {"title": {"text": "G: generalisation"}, "range": [-0.04, 1.04], "showgrid": False}
    yaxis = {"title": {"text": "M: memorisation"}, "range": [-0.06, 1.06], "showgrid": False}
    margin = {"l": 56, "r": 16, "t": 12, "b": 48}
    return figure([], shapes=shapes, annotations=names, margin=margin, xaxis=xaxis, yaxis=yaxis)


def _cause(d: Detection) -> list[Drawn]:
    """What becomes of the right answers; nothing where there is no structure to have a cause."""
    if d.causal is None or d.verdict is Verdict.ABSENT:
        return []
    if d.causal.of_loss:
        return [_of_loss(d.causal)]
    control = None if d.causal.control is None else 1 - d.causal.control
    labels = ["motif removed", "motif alone", "control removed"]
    pairs = d.causal.basis.replace("_", " ").removeprefix("all ")
    shares = Shares(names=labels, shares=[1 - d.causal.necessity, d.causal.sufficiency, control], weak=labels[2:])
    reading = (
        f"Of {d.causal.pairs} {pairs} that the model answers right, the share "
        "still right once the motif is removed, once it alone is kept, and once something else is removed in its "
        "stead: a motif that is used leaves the first bar short, the second and the third long."
    )
    return [Drawn("Does the model use it?", reading, *draw(shares, 0))]


def _of_loss(causal: Causal) -> Drawn:
    names = ["loss, of that of random directions", "gain that the motif keeps"]
    reading = (
        f"The loss as a share of its mean with the features in random directions ({causal.pairs} draws, norms and bias "
        "as they are); and of what the model saves over these the share that the motif alone saves, made exact and all "
        "else in random directions: a geometry that is used leaves the first bar short, the second long."
    )
    return Drawn(
        "Does the model use it?",
        reading,
        *draw(Shares(names=names, shares=[1 - causal.necessity, causal.sufficiency]), 0),
    )


def label(name: object) -> str:
    """A name inside a figure, where plotly would read HTML; of a frequency its number alone.

    >>> label("freq_3"), label("<b>")
    ('3', '&lt;b&gt;')
    """
    return html.escape(visible(name), quote=False).removeprefix("freq_")


def frequency(name: object) -> int | None:
    match = FREQUENCY.fullmatch(str(name))
    return int(match[1]) if match else None


def figure(data: list[Figure], **layout: Any) -> Figure:
    """Data with the layout that all pictures share. Colours of text and grid are the page's, by its theme."""
    axis = {"zeroline": False, "automargin": True, "fixedrange": True}
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    shared: Mapping[str, Any] = {
        "margin": {"l": 56, "r": 16, "t": 40, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "barmode": "overlay",
        "dragmode": False,
        "legend": {**legend, "itemclick": False, "itemdoubleclick": False},
    }
    axes = {name: axis | layout.pop(name, {}) for name in ("xaxis", "yaxis")}
    return {"data": data, "layout": {**shared, **axes, **layout}}


def place(name: str) -> tuple[bool, int]:
    """Sorts frequencies by number and first, the others as they came."""
    k = frequency(name)
    return k is None, k or 0


def names_axis(title: str, ticks: Sequence[str], at_least: int) -> Figure:
    """An axis of named places 0, 1, ..., with room for `at_least`, so that one bar is not a wall."""
    middle, room = (len(ticks) - 1) / 2, max(len(ticks), at_least) / 2
    return {
        "title": {"text": title},
        "range": [middle - room, middle + room],
        "tickvals": list(range(len(ticks))),
        "ticktext": list(ticks),
    }
