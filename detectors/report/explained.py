"""A page of plain language: which algorithm it is, on what that rests, what was ruled out and what stays open."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from detectors.core.figures import Figures
from detectors.core.visible import visible
from detectors.judging.explain import Claim, Explanation, explain
from detectors.report.model import Document
from detectors.report.terminal import facts

SECTIONS = (
    ("It rests on", "claims"),
    ("It is there, and not needed", "unused"),
    ("Ruled out: none of this is so", "ruled_out"),
    ("Not known whether it is so", "unknown"),
)
BRACKETS = (
    "In brackets: how a claim is known. Necessary: without it right answers turn wrong, and with as much else removed "
    "they stay. Sufficient: with it alone they stay. Of what is ruled out: how often it is found where it is."
)
WORDS = (  # of two operands
    "a, b: the operands; c: an answer; a b c^-1 is a+b-c where the task is addition. irrep: of functions on a group "
    "what a frequency is of a wave; of addition mod n it is one, k, with w = 2 pi k / n. character: its cosine."
)


def of_report(report: Document) -> Explanation:
    """The algorithm by the report's verdicts and coordinates."""
    figures = Figures(accuracy=report.accuracy, loss=report.loss, cases=report.pairs)
    return explain(report.detections, report.task, figures, report.certificate)


def as_page(report: Document, width: int = 100) -> str:
    """As plain text."""
    stream = io.StringIO()
    Console(width=width, color_system=None, file=stream).print(page(report))
    return stream.getvalue().rstrip()


def page(report: Document) -> RenderableType:
    """Heading, algorithm, the report's own sentence, and the claims by section."""
    found = of_report(report)
    heading = Table.grid(padding=(0, 2))
    for name, text in facts(report):
        heading.add_row(Text(name, style="dim"), Text(visible(text), overflow="fold"))
    title = Text.assemble(("Algorithm: ", "dim"), (found.algorithm, "bold"))
    parts: list[RenderableType] = [heading, Padding(title, (1, 0, 0, 0)), Text(visible(found.meaning))]
    parts.append(Padding(Text(visible(report.summary)), (1, 0, 0, 0)))
    for name, key in SECTIONS:
        if claims := getattr(found, key):
            parts += [Padding(Text(name, style="bold"), (1, 0, 0, 0)), _rows(claims)]
    words = [BRACKETS, WORDS] if report.task.subject == "operands" else [BRACKETS]
    return Group(*parts, *(Padding(Text(text, style="dim"), (1, 0, 0, 0)) for text in words))


def _rows(claims: Sequence[Claim]) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    table.add_column(no_wrap=True)
    for one in claims:
        said = Text.assemble(visible(one.claim), (f"  [{one.rung}]", "cyan"))
        table.add_row("-", said)
        table.add_row("", Text(visible(f"{one.motif}: {one.figures}"), style="dim"))
    return Padding(table, (0, 0, 0, 2))
