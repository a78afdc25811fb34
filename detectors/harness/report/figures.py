"""The pictures of a report: which a detection has, and those that its evidence alone gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from detectors.core.view import ModelView
from detectors.harness.report.drawing import (
    BAND,
    BLUE,
    GREY,
    ORANGE,
    Figure,
    Picture,
    figure,
    frequency,
    in_order,
    label,
    names_axis,
)
from detectors.harness.report.model import Detection, Report
from detectors.harness.report.neurons import neuron_pictures

DRAWN = ("present", "inert", "absent")  # verdicts that say something of the structure
MOST = 60  # irreps drawn, the strongest
# regions of the plane of G and M, bounds of each, as the evidence `phase` of memorisation has them
HALF, TRACE = 0.5, 0.1
PHASES = {
    "initial": (0, HALF, 0, TRACE),
    "memorisation": (0, HALF, TRACE, 1),
    "circuit formation": (HALF, 1, TRACE, 1),
    "cleanup, generalisation": (HALF, 1, 0, TRACE),
}
# of the detectors with a spectrum: evidence, its unit and form; title and reading of the picture
SPECTRA = {
    "sparse_fourier_embedding": (
        ("power", "share of the power", ".0%"),
        "Power of the embedding per irrep",
        "A bar is the share of the embedding's power that lies in one irrep; what rises above the grey band is more "
        "than tokens in random order give.",
    ),
    "trig_product_neurons": (
        ("power", "share of the power", ".0%"),
        "Power of the neurons per irrep",
        "A bar is the share of all neurons' power that lies in the family of their own best irrep; what rises above "
        "the grey band is more than tokens in random order give.",
    ),
    "trig_logits": (
        ("similarity", "cosine with the logits", ".2f"),
        "Similarity of the logits to characters",
        "A bar is the cosine of the logits with the character of a b c⁻¹; the squares of the bars add up to "
        "the share of the logits that characters explain, and the grey band is the reach of shuffled labels.",
    ),
}


def pictures(detection: Detection, report: Report, model: object = None) -> list[Picture]:
    """What there is to draw of a detection; nothing where it came to no verdict on the structure."""
    if detection.verdict not in DRAWN:
        return []
    drawn: list[Picture] = []
    if detection.detector in SPECTRA:
        drawn += _spectrum(detection, report)
    if detection.detector == "trig_product_neurons" and isinstance(model, ModelView):
        drawn += neuron_pictures(model)
    if detection.detector == "generalisation":
        drawn += _plane(report)
    if detection.detector == "memorisation":
        drawn += _remainder(detection)
    return drawn + _cause(detection)


def _spectrum(d: Detection, report: Report) -> list[Picture]:
    """A bar an irrep, with the reach of chance behind."""
    (field, unit, form), title, reading = SPECTRA[d.detector]
    columns: list[list[Any]] = [d.evidence.get(key) or [] for key in ("irreps", field, "key_cuts")]
    if not columns[0] or len({len(column) for column in columns}) > 1:
        return []
    every = len(columns[0])
    order = in_order(columns[0][:MOST])
    names, heights, cuts = ([column[i] for i in order] for column in columns)
    if field == "similarity":  # whose cuts are of squares
        cuts = [cut**0.5 for cut in cuts]
    x = [k for name in names if (k := frequency(name)) is not None]
    if len(x) < len(names):
        x, axis = list(range(len(names))), names_axis("irrep", [label(name) for name in names], 8)
    else:
        last = max(*x, (report.task.order or 0) // 2, 8)
        axis = {"title": {"text": "frequency k"}, "range": [0.3, last + 0.7]}
    data = [_bars("reach of chance (1 draw in 100)", BAND, 1.0, form, zip(x, cuts, names, strict=True))]
    keys = set(d.evidence.get("key_irreps") or [])
    rows = list(zip(x, heights, names, strict=True))
    for name, colour, chosen in (
        ("key irreps", BLUE, [r for r in rows if r[2] in keys]),
        ("other irreps", GREY, [r for r in rows if r[2] not in keys]),
    ):
        if chosen:
            data.append(_bars(name, colour, 0.66, form, chosen, labelled=colour == BLUE))
    bounds = [min(0.0, *heights), max(*heights, *cuts, 1e-9) * 1.25]
    yaxis = {"title": {"text": unit}, "range": bounds, "tickformat": form}
    apart = d.evidence.get("basis") == "test_pairs"
    said = " Bars are over all pairs; the band, and what is key, over those it was not trained on." if apart else ""
    more = f" The {MOST} strongest of {every} irreps are drawn." if every > MOST else ""
    return [Picture(title, reading + said + more, figure(data, xaxis={**axis, "showgrid": False}, yaxis=yaxis))]


def _bars(name: str, colour: str, width: float, form: str, rows: Any, labelled: bool = False) -> Figure:
    """rows: (place, height, irrep). Irreps that are not key are hatched, so that colour is not all that tells."""
    x, y, irreps = (list(column) for column in zip(*rows, strict=True))
    return {
        "type": "bar",
        "name": name,
        "x": x,
        "y": y,
        "width": width,
        "customdata": [label(irrep) for irrep in irreps],
        "text": [
            f"{label(irrep)}<br>{height:{form}}" if labelled else "" for irrep, height in zip(irreps, y, strict=True)
        ],
        "textposition": "outside",
        "constraintext": "none",
        "cliponaxis": False,
        "marker": {"color": colour, "pattern": {"shape": "/" if colour == GREY else ""}, "line": {"width": 0}},
        "hovertemplate": f"irrep %{{customdata}}: %{{y:{form}}}<extra>{name}</extra>",
    }


def _plane(report: Report) -> list[Picture]:
    """G and M of the model, where both are known."""
    scores = {d.detector: d.score for d in report if d.verdict in DRAWN}
    g, m = scores.get("generalisation"), scores.get("memorisation")
    if g is None or m is None:
        return []
    regions, names = [], []
    for (name, (left, right, low, high)), tint in zip(PHASES.items(), (0.06, 0.22, 0.14, 0.06), strict=True):
        bounds = {"type": "rect", "x0": left, "x1": right, "y0": low, "y1": high, "layer": "below"}
        line = {"color": GREY, "width": 1}
        regions.append({**bounds, "fillcolor": f"rgba(139,144,153,{tint})", "line": line})
        names.append({"x": (left + right) / 2, "y": (low + high) / 2, "text": name, "showarrow": False})
    point: Figure = {
        "type": "scatter",
        "mode": "markers",
        "x": [g],
        "y": [m],
        "marker": {"color": ORANGE, "size": 15, "symbol": "diamond", "line": {"width": 1.5, "color": "#ffffff"}},
        "cliponaxis": False,
        "hovertemplate": "G %{x:.3f}, M %{y:.3f}<extra>this model</extra>",
    }
    away = {"ax": -50 if g > HALF else 50, "ay": 45 if m > HALF else -45, "xanchor": "right" if g > HALF else "left"}
    here = f"<b>this model: G {g:.2f}, M {m:.2f}</b>"
    names.append({"x": g, "y": m, "text": here, "arrowcolor": ORANGE, "arrowhead": 0, "standoff": 8, **away})
    axes = {
        "xaxis": {"title": {"text": "G: generalisation"}, "range": [-0.04, 1.04], "showgrid": False},
        "yaxis": {"title": {"text": "M: memorisation"}, "range": [-0.06, 1.06], "showgrid": False},
    }
    reading = (
        "The diamond is this model; training runs from bottom left, by way of the top where it memorises, to bottom "
        "right, where the structured part of the logits answers pairs that were never trained on and nothing is "
        "answered by rote."
    )
    drawn = figure([point], shapes=regions, annotations=names, margin={"l": 56, "r": 16, "t": 12, "b": 48}, **axes)
    return [Picture("The plane of generalisation and memorisation", reading, drawn, height=400)]


def _remainder(d: Detection) -> list[Picture]:
    shares = [d.evidence.get(f"remainder_accuracy_{side}") for side in ("train", "test")]
    if None in shares:
        return []
    drawn = _shares(["training pairs", "test pairs"], shares, [ORANGE, BLUE])
    reading = (
        "What is left of the logits without any function of a b c⁻¹ answers this share of the pairs; M is how "
        "much longer the upper bar is."
    )
    return [Picture("Accuracy of the unstructured remainder", reading, drawn, height=190)]


def _cause(d: Detection) -> list[Picture]:
    """What becomes of the right answers; nothing where there is no structure to have a cause."""
    if d.causal is None or d.verdict == "absent":
        return []
    control = None if d.causal.control is None else 1 - d.causal.control
    labels = ["motif removed", "motif alone", "control removed"]
    pairs = "test pairs" if d.causal.basis == "test_pairs" else "pairs"
    drawn = _shares(labels, [1 - d.causal.necessity, d.causal.sufficiency, control], [ORANGE, BLUE, GREY])
    reading = (
        f"Of {d.causal.pairs} {pairs} that the model answers right, the share "
        "still right once the motif's subspace is removed, once it alone is kept, and once a random one of its "
        "size is removed: a motif that is used leaves the first bar short and the third long."
    )
    return [Picture("Does the model use it?", reading, drawn, height=220)]


def _shares(labels: Sequence[str], shares: Sequence[float | None], colours: Sequence[str]) -> Figure:
    """Horizontal bars from 0 to 100%, the first on top; None has no bar and says so."""
    bars: Figure = {
        "type": "bar",
        "orientation": "h",
        "x": list(shares),
        "y": list(labels),
        "width": 0.6,
        "marker": {"color": list(colours)},
        "text": ["" if share is None else f"{share:.1%}".replace(".0%", "%") for share in shares],
        "textposition": "outside",
        "cliponaxis": False,
        "hovertemplate": "%{y}: %{x:.2%}<extra></extra>",
    }
    missing = [
        {"x": 0, "y": name, "text": "none available", "xanchor": "left", "showarrow": False}
        for name, share in zip(labels, shares, strict=True)
        if share is None
    ]
    return figure(
        [bars],
        annotations=missing,
        margin={"l": 120, "r": 16, "t": 8, "b": 40},
        xaxis={"range": [0, 1.18], "tickformat": ".0%", "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        yaxis={"autorange": "reversed", "type": "category", "showgrid": False},
    )
