"""Markdown of a report or a gate, for a job summary; annotations and a badge, for those who only glance."""

from __future__ import annotations

import html
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from detectors.core.visible import visible
from detectors.report.model import Document, Outcome
from detectors.report.terminal import facts

SHOWN = ("accuracy", "exceptions")  # of the facts that a terminal shows


def to_markdown(report: Document, outcomes: Sequence[Outcome] | None = None) -> str:
    """A heading, the conditions of the gate if there is one, the verdicts, the sentence and its doubts."""
    lines = [f"### {_cell(report.checkpoint.path)}", ""]
    lines += [f"Task `{_cell(report.task.spec)}`. **{_cell(report.summary)}**", ""]
    lines += [f"{name.capitalize()}: {_cell(' '.join(text.split()))}." for name, text in facts(report) if name in SHOWN]
    lines += [""]
    if outcomes is not None:
        failed = sum(not o.passed for o in outcomes)
        tally = f"**Gate failed**: {failed} of {len(outcomes)}" if failed else f"Gate passed: {len(outcomes)}"
        lines += [f"{tally} conditions.", "", "| | condition | found |", "|---|---|---|"]
        for o in sorted(outcomes, key=lambda o: o.passed):
            lines.append(f"| {'pass' if o.passed else '**FAIL**'} | {_cell(o.id)} | {_cell(o.sentence)} |")
        lines.append("")
    columns = ("detector", "verdict", "score", "threshold", "p (Holm)", "necessity", "sufficiency", "control")
    lines += [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for d in report:
        causal = (None,) * 3 if (c := d.causal) is None else (c.necessity, c.sufficiency, c.control)
        cells = ["" if x is None else f"{x:.3f}" for x in (d.score, d.threshold, d.p_adjusted, *causal)]
        lines.append(f"| {_cell(d.detector)} | {d.verdict} | {' | '.join(cells)} |")
    lines += ["", *(f"> {_cell(note)}" for note in report.notes)]
    return "\n".join(lines).rstrip() + "\n"


def _cell(text: str) -> str:
    """Text that stays inside its cell and is no markup of its own."""
    shown = html.escape(visible(" ".join(text.split())), quote=False)
    return re.sub(r"([\\|`*_\[\]])", r"\\\1", shown)


def summarise_step(text: str) -> None:
    """Append to the job's summary where GitHub Actions asks for one; a summary that cannot be written fails nothing."""
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    try:
        with Path(target).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
    except OSError as error:
        print(visible(f"the job summary {target} cannot be written: {error}"), file=sys.stderr)


def error_lines(outcomes: Sequence[Outcome], policy: str, most: int = 10) -> list[str]:
    """`::error` lines for GitHub, which shows ten of a step."""

    def data(text: str) -> str:
        return visible(text).replace("%", "%25")

    file, *titles = (data(text).replace(":", "%3A").replace(",", "%2C") for text in (policy, *(o.id for o in outcomes)))
    lines = [
        f"::error file={file},title={t}::{data(o.sentence)}"
        for t, o in zip(titles, outcomes, strict=True)
        if not o.passed
    ]
    return lines[:most]


def badge(outcomes: Sequence[Outcome]) -> str:
    """An endpoint for shields.io."""
    failed = sum(not o.passed for o in outcomes)
    message, colour = (f"{failed} of {len(outcomes)} failed", "red") if failed else ("passed", "brightgreen")
    return json.dumps({"schemaVersion": 1, "label": "circuit gate", "message": message, "color": colour}) + "\n"
