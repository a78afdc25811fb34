"""What a motif looks like in a model of the zoo that has it, and in one that has not."""

from __future__ import annotations

from typing import NamedTuple

from motif_page import Shown
from svg import svg

import detectors
from detectors.core.registry import load, names, spec_of
from detectors.report.drawing import Drawn, pictures
from models_zoo.examples import Example, with_and_without

TRIED = 3  # of the models that lack a motif


def shown(name: str) -> list[Shown]:
    """Of those without it the first that there is something to draw of. None of a motif that the zoo does not know."""
    having, lacking = with_and_without(name)
    there = [_scored(name, one) for one in having[:1]]
    others = []
    for one in lacking[:TRIED]:
        others.append(_scored(name, one))
        if others[-1].drawn:
            there.append(others[-1])
            break
    else:
        there += others[:1]
    heights = [one.drawn.figure["layout"]["yaxis"]["range"] for one in there if one.drawn and _upright(one.drawn)]
    return [_shown(one, [max(high for _, high in heights)] if heights else []) for one in there]


class Scored(NamedTuple):
    """A model, what was said of it, and the picture."""

    example: Example
    said: str
    drawn: Drawn | None


def _scored(name: str, example: Example) -> Scored:
    """The first picture of a report that stands alone; of a coordinate of the plane the plane, which takes both."""
    axis = spec_of(load(name)).axis
    asked = [other for other in names() if other == name or (axis and spec_of(load(other)).axis)]
    report = detectors.run(example.model.view, names=asked)
    found = report[name]
    drawn = sorted(pictures(found, report), key=lambda picture: picture.half)
    return Scored(example, f"{found.verdict.spoken}: {found.reason}", drawn[0] if drawn else None)


def _upright(drawn: Drawn) -> bool:
    """Bars that stand on their axis: of two models they are told apart by their height alone."""
    return drawn.figure["data"][0]["type"] == "bar" and "range" in drawn.figure["layout"]["yaxis"]


def _shown(one: Scored, highest: list[float]) -> Shown:
    """highest: of the bars of both models, if they are bars."""
    address, about, _ = one.example
    if one.drawn is None:
        return Shown(address, about, one.said, "", "", "")
    if highest and _upright(one.drawn):
        axis = one.drawn.figure["layout"]["yaxis"]
        axis["range"] = [axis["range"][0], *highest]
    return Shown(address, about, one.said, one.drawn.title, one.drawn.reading, svg(one.drawn.figure, one.drawn.height))
