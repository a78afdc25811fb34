"""The page of one motif: what its module says, its formula, its picture where it is and where it is not, its rates."""

from __future__ import annotations

import html
import importlib
import inspect
import re
from typing import Any, NamedTuple

from detectors.core.registry import load, result_of, spec_of
from detectors.judging.calibration import calibration
from detectors.report.html import typeset

PAPER = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


class Shown(NamedTuple):
    """A model by its address, what it is, what the detector says of it, and its picture with what that shows."""

    model: str
    about: str
    said: str
    title: str
    reading: str
    picture: str


def page(name: str, shown: list[Shown]) -> str:
    """In Markdown. shown: a model that has the motif, and one that has not."""
    function, row = load(name), calibration()["rows"].get(name)
    spec, module = spec_of(function), importlib.import_module(function.__module__)
    claim, source, *rest = (prose(p) for p in inspect.getdoc(module).split("\n\n"))
    lines = [f"# `{name}`", claim, formula(name), _linked(source), *_pictures(name, shown), *map(_labelled, rest)]
    facts = [
        f"Version {spec.version}. Needs {', '.join(f'`{n}`' for n in spec.needs)}.",
        f"Free choices that leave the value as it is: {', '.join(f'`{i}`' for i in spec.invariant_to)}.",
        "Judged with a causal check." if spec.causal else "A decomposition of the logits: no cause of its own.",
    ]
    lines += [" ".join(facts), f"**Evidence.** {prose(inspect.getdoc(result_of(function))).removeprefix('Evidence. ')}"]
    lines.append(_rates(row) if row else "**Calibration.** None yet, so its verdict stays `inconclusive`.")
    return "\n\n".join(lines)


def formula(name: str) -> str:
    """As MathML, which needs no script."""
    return f'<div class="formula">{typeset(spec_of(load(name)).formula)}</div>'


def _pictures(name: str, shown: list[Shown]) -> list[str]:
    """Side by side where there is room."""
    if not shown:
        return []
    figures = [_figure(one, file) for one, file in zip(shown, files_of(name), strict=True)]
    return ["## Where it is, and where it is not", f'<div class="beside">\n{"".join(figures)}</div>']


def _figure(one: Shown, file: str) -> str:
    """With what it is of above, and how to read it below."""
    model, about, said, title, reading = (html.escape(text) for text in one[:5])
    verdict, _, reason = said.partition(": ")
    what = f"<code>{model}</code>{', ' if about else ''}{about}"
    of = f"<p>{what}: <b>{verdict}</b>. {reason[:1].upper()}{reason[1:]}.</p>"
    if not one.picture:
        return f"<figure>{of}<figcaption>There is nothing of it to draw.</figcaption></figure>\n"
    picture = f'<img src="{file}" alt="{title}, of {model}" loading="lazy">'
    return f"<figure>{of}{picture}<figcaption><b>{title}.</b> {reading}</figcaption></figure>\n"


def files_of(name: str) -> list[str]:
    """Of the two pictures, beside the page."""
    return [f"{name}.present.svg", f"{name}.absent.svg"]


def prose(paragraph: str) -> str:
    """Of a docstring: *italics*, _{below} and ^{above} are HTML; nothing else is taken for a mark."""
    text = " ".join(paragraph.split()).replace("<", "&lt;")
    for mark, tag in ((r"\*([^*\s]+)\*", "i"), (r"_\{([^{}]*)\}", "sub"), (r"\^\{([^{}]*)\}", "sup")):
        text = re.sub(mark, rf"<{tag}>\1</{tag}>", text)
    return text.replace("*", "\\*")


def _linked(text: str) -> str:
    return _labelled(PAPER.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", text))


def _labelled(text: str) -> str:
    """`Score: 0 is ...` with its first word in bold."""
    head, colon, rest = text.partition(": ")
    return f"**{head}.** {rest[0].upper()}{rest[1:]}" if colon and len(head) < 20 else text


def _rates(row: dict[str, Any]) -> str:
    """The line of calibration.json, and its families."""
    found, false = row["true_positives"], row["false_positives"]
    groups = "Groups of order {} to {}; architectures".format(*row["orders"]) if "orders" in row else "Architectures"
    at, values = row["levels"], row["values"]
    lines = [
        f"**Calibration.** Threshold **{row['threshold']:g}**, a third of the way from {at['negative']:g}, the highest "
        f"level of a family without the motif, to {at['positive']:g}, the lowest of one with it. Area under the curve "
        f"{row['auc']:g} in the worst family; {len(row['above_a_positive'])} models without it lie above the least of "
        f"those with it. {groups}: {', '.join(row['architectures'])}.",
        "",
        "| what is counted | parents | positive | share | one-sided 95% bounds |",
        "|---|---|---|---|---|",
    ]
    what = {
        "with the motif, whole verdict": found["verdict"],
        "with the motif, value alone": found["value"],
        "without it, whole verdict": false["verdict"],
        "without it, value alone": false["value"],
    }
    lines += [
        f"| {label} | {c['of']} | {c['count']} | {percent(c['count'] / c['of'])} "
        f"| {percent(c['low'])}, {percent(c['high'])} |"
        for label, c in what.items()
    ]
    rule = "|---|---|---|---|---|---|"
    lines += ["", "| values | least | 1 in 50 | median | 49 in 50 | greatest |", rule]
    lines += [f"| {side} | {' | '.join(f'{x:g}' for x in values[side].values())} |" for side in ("present", "absent")]
    lines += [
        "",
        "| family | motif | models | parents | above the threshold | called present |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {family.replace('_', ' ')} | {side} | {f[side]['models']} | {f[side]['parents']} | {f[side]['above']} "
        f"| {f[side]['called_present']} |"
        for side in ("present", "absent")
        for family, f in sorted(row["families"].items())
        if side in f
    ]
    missed, wrong = (", ".join(f"`{name}`" for name in row[key]) or "none" for key in ("missed", "wrong"))
    return "\n".join([*lines, "", f"Models missed: {missed}. Models called present wrongly: {wrong}."])


def percent(share: float) -> str:
    return f"{100 * share:.4g}%"
