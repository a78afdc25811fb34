"""Markdown of a report or a gate, for a job summary; annotations and a badge, for those who only glance."""

from __future__ import annotations

import html
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from detectors.harness.gate import Outcome
from detectors.harness.report.model import Report


def to_markdown(report: Report, outcomes: Sequence[Outcome] | None = None) -> str:
    """A heading, the conditions of the gate if there is one, the verdicts, the sentence and its doubts."""
    lines = [
        f"### {_cell(report.checkpoint.path)}",
        "",
        f"Task `{_cell(report.task.spec)}`. **{_cell(report.summary)}**",
        "",
    ]
    if outcomes is not None:
        failed = [o for o in outcomes if not o.passed]
        lines += [_tally(outcomes), "", "| | condition | found |", "|---|---|---|"]
        lines += [f"| {'pass' if o.passed else '**FAIL**'} | {_cell(o.id)} | {_cell(o.sentence)} |" for o in failed]
        lines += [f"| pass | {_cell(o.id)} | {_cell(o.sentence)} |" for o in outcomes if o.passed]
        lines.append("")
    lines += [
        "| detector | verdict | score | threshold | p (Holm) | necessity | control |",
        "|---|---|---|---|---|---|---|",
    ]
    for d in report:
        control = None if d.causal is None else d.causal.control
        figures = [d.score, d.threshold, d.p_adjusted, None if d.causal is None else d.causal.necessity, control]
        cells = ["" if x is None else f"{x:.3f}" for x in figures]
        lines.append(f"| {_cell(d.detector)} | {d.verdict} | {' | '.join(cells)} |")
    lines += ["", *(f"> {_cell(note)}" for note in report.notes)]
    return "\n".join(lines).rstrip() + "\n"


def _tally(outcomes: Sequence[Outcome]) -> str:
    failed = sum(not o.passed for o in outcomes)
    return (
        f"**Gate failed**: {failed} of {len(outcomes)} conditions."
        if failed
        else f"Gate passed: {len(outcomes)} conditions."
    )


def _cell(text: str) -> str:
    """Text that stays inside its cell and is no markup of its own."""
    return " ".join(re.sub(r"([\\|`*_\[\]])", r"\\\1", html.escape(text, quote=False)).split())


def summarise_step(text: str) -> None:
    """Append to the job's summary where GitHub Actions asks for one; a summary that cannot be written fails nothing."""
    target = os.environ.get("GITHUB_STEP_SUMMARY")
    if not target:
        return
    try:
        with Path(target).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")
    except OSError as error:
        print(f"the job summary {target} cannot be written: {error}", file=sys.stderr)


def error_lines(outcomes: Sequence[Outcome], policy: str, most: int = 10) -> list[str]:
    """`::error` lines for GitHub, which shows ten of a step."""
    failed = [o for o in outcomes if not o.passed]
    return [f"::error file={_property(policy)},title={_property(o.id)}::{_data(o.sentence)}" for o in failed[:most]]


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def badge(outcomes: Sequence[Outcome]) -> str:
    """An endpoint for shields.io."""
    failed = sum(not o.passed for o in outcomes)
    message, colour = (f"{failed} of {len(outcomes)} failed", "red") if failed else ("passed", "brightgreen")
    return json.dumps({"schemaVersion": 1, "label": "circuit gate", "message": message, "color": colour}) + "\n"
