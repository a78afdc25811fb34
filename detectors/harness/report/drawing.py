"""What all pictures share: colours, layout, labels. A figure is the plain data and layout that plotly.js takes."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

Figure = dict[str, Any]

# each stands out by 3 to 1 or more on white and on near-black, and they differ for the colour-blind
BLUE, ORANGE, GREY, BAND = "#2b7bba", "#d55e00", "#8b9099", "rgba(139,144,153,0.3)"

ILLEGAL = re.compile(r"[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
FREQUENCY = re.compile(r"freq_(\d+)")


class Picture(NamedTuple):
    """title: what it shows. reading: a sentence on how to read it. height: pixels, kept free until it is drawn.
    half: two of its kind stand side by side where there is room.
    """

    title: str
    reading: str
    figure: Figure
    height: int = 320
    half: bool = False


def plain(text: object) -> str:
    r"""Text without what no document may hold: control characters and halves of surrogate pairs.

    >>> plain("a\x00b")
    'a�b'
    """
    return ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", str(text))


def label(name: object) -> str:
    """A name inside a figure, where plotly would read HTML; of a frequency its number alone.

    >>> label("freq_3"), label("<b>")
    ('3', '&lt;b&gt;')
    """
    return html.escape(plain(name), quote=False).removeprefix("freq_")


def frequency(name: object) -> int | None:
    match = FREQUENCY.fullmatch(str(name))
    return int(match[1]) if match else None


def figure(data: list[Figure], **layout: Any) -> Figure:
    """Data with the layout that all pictures share. Colours of text and grid are the page's, by its theme."""
    axis = {"zeroline": False, "automargin": True, "fixedrange": True}
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    shared = {
        "margin": {"l": 56, "r": 16, "t": 40, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "barmode": "overlay",
        "dragmode": False,
        "legend": {**legend, "itemclick": False, "itemdoubleclick": False},
    }
    axes = {name: axis | layout.pop(name, {}) for name in ("xaxis", "yaxis")}
    return {"data": data, "layout": {**shared, **axes, **layout}}


def in_order(names: Sequence[str]) -> list[int]:
    """Places of the names, frequencies by number and first, the others as they came."""
    return sorted(range(len(names)), key=lambda i: (frequency(names[i]) is None, frequency(names[i]) or 0))


def names_axis(title: str, ticks: Sequence[str], at_least: int) -> Figure:
    """An axis of named places 0, 1, ..., with room for `at_least`, so that one bar is not a wall."""
    middle, room = (len(ticks) - 1) / 2, max(len(ticks), at_least) / 2
    return {
        "title": {"text": title},
        "range": [middle - room, middle + room],
        "tickvals": list(range(len(ticks))),
        "ticktext": list(ticks),
    }


def dotted(y: float) -> Figure:
    """A line across the picture."""
    line = {"color": GREY, "width": 1.5, "dash": "dot"}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}
