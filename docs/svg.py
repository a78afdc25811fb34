"""The report's figures, which plotly.js draws there, as static SVG: small, offline, light or dark as the reader is."""

from __future__ import annotations

import html
import io
import re
from typing import Any

INK, SOFT = "#010203", "#040506"  # stand for colours of the reader's theme, which the style below gives
LIGHT, DARK = "svg{--ink:#1b1e24;--soft:#c3c8cf}", "svg{--ink:#e8eaee;--soft:#4a505b}"
STYLE = f"<style>{LIGHT}@media (prefers-color-scheme:dark){{{DARK}}}</style>"
INCH = 100  # pixels of a figure to an inch of it
HATCH = {"/": "////"}


def svg(figure: dict[str, Any], height: int, width: int = 460) -> str:
    """One figure of bars, dots or a heat map with its shapes and notes."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    looks = {"svg.fonttype": "none", "svg.hashsalt": "detectors", "font.size": 8, "hatch.linewidth": 0.5}
    looks |= dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor"), INK)
    with rc_context(looks):
        drawn = Figure(figsize=(width / INCH, height / INCH), layout="constrained")
        axes = drawn.add_subplot()
        for trace in figure["data"]:
            TRACES[trace["type"]](axes, trace)
        layout = figure["layout"]
        for shape in layout.get("shapes", ()):
            _shape(axes, shape)
        lying = [name for trace in figure["data"] if trace.get("orientation") == "h" for name in trace["y"]]
        for note in layout.get("annotations", ()):
            _note(axes, note | {"y": lying.index(note["y"]) if note["y"] in lying else note["y"]})
        for name in ("x", "y"):
            _axis(axes, name, layout[f"{name}axis"], lying)
        axes.spines[["top", "right"]].set_visible(False)
        if sum("name" in trace for trace in figure["data"]) > 1:
            drawn.legend(loc="outside upper left", ncols=2, frameon=False)
        text = io.StringIO()
        drawn.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    found = text.getvalue().replace(INK, "var(--ink)").replace(SOFT, "var(--soft)")
    return re.sub(r"(<svg[^>]*>)", rf"\1{STYLE}", found[found.index("<svg") :], count=1)


def _bars(axes: Any, bars: dict[str, Any]) -> None:
    marker, lying = bars["marker"], bars.get("orientation") == "h"
    if lying:
        places, sizes = list(range(len(bars["y"]))), [x or 0 for x in bars["x"]]
        drawn = axes.barh(places, sizes, height=bars["width"], color=marker["color"])
    else:
        band = marker["color"].startswith("rgba")  # the reach of chance, behind the others
        look = {"color": SOFT, "zorder": 0} if band else {"color": marker["color"]}
        hatch = HATCH.get(marker["pattern"]["shape"], "")
        drawn = axes.bar(bars["x"], bars["y"], bars["width"], hatch=hatch, edgecolor="none", label=bars["name"], **look)
    labels = [_plain(text) for text in bars.get("text", ())]
    axes.bar_label(drawn, labels, padding=2, fontsize=7)


def _dots(axes: Any, dots: dict[str, Any]) -> None:
    size = dots["marker"]["size"]
    shape = "D" if dots["marker"].get("symbol") == "diamond" else "o"
    axes.scatter(dots["x"], dots["y"], size**2 / 2, dots["marker"]["color"], marker=shape, alpha=0.7, linewidths=0)


def _map(axes: Any, heat: dict[str, Any]) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("diverging", [tuple(stop) for stop in heat["colorscale"]])
    image = axes.imshow(heat["z"], cmap=colours, vmin=heat["zmin"], vmax=heat["zmax"], interpolation="nearest")
    axes.figure.colorbar(image, shrink=0.7)


TRACES = {"bar": _bars, "scatter": _dots, "heatmap": _map}


def _shape(axes: Any, shape: dict[str, Any]) -> None:
    if shape["type"] == "line":
        axes.axhline(shape["y0"], color=shape["line"]["color"], linestyle=":", linewidth=1)
        return
    x, y, width, height = shape["x0"], shape["y0"], shape["x1"] - shape["x0"], shape["y1"] - shape["y0"]
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((x, y), width, height, facecolor="none", edgecolor=SOFT, zorder=0))


def _note(axes: Any, note: dict[str, Any]) -> None:
    look = {"ha": note.get("xanchor", "center"), "va": "center", "fontsize": 8}
    if note.get("showarrow", True):
        look |= {"xytext": (note["ax"] * 0.2, -note["ay"] * 0.72), "textcoords": "offset points", "weight": "bold"}
        look |= {"arrowprops": {"arrowstyle": "->", "color": note["arrowcolor"]}}
        axes.annotate(_plain(note["text"]), (note["x"], note["y"]), **look)
    else:
        axes.text(note["x"], note["y"], f" {_plain(note['text'])}", **look)


def _axis(axes: Any, name: str, axis: dict[str, Any], lying: list[str]) -> None:
    """lying: names of bars that lie along the other axis."""
    from matplotlib.ticker import PercentFormatter

    own, share = getattr(axes, f"{name}axis"), axis.get("tickformat", "").endswith("%")
    if "title" in axis:
        own.set_label_text(_plain(axis["title"]["text"]))
    if "ticktext" in axis:
        own.set_ticks(axis["tickvals"], [_plain(text) for text in axis["ticktext"]])
        if len(axis["ticktext"]) > 8 and name == "x":
            own.set_tick_params(rotation=90)
    elif axis.get("type") == "category":
        own.set_ticks(range(len(lying)), [_plain(text) for text in lying])
    elif share:
        own.set_major_formatter(PercentFormatter(1.0, decimals=0))
    if "range" in axis:
        getattr(axes, f"set_{name}lim")(axis["range"])
    if axis.get("autorange") == "reversed" and not own.get_inverted():
        own.set_inverted(True)


def _plain(text: str) -> str:
    """What plotly reads as HTML: breaks are lines, other tags are nothing."""
    return html.unescape(re.sub(r"<[^>]+>", "", text.replace("<br>", "\n")))
