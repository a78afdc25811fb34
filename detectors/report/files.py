"""Writing whole files or none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detectors.core import plain_files
from detectors.core.errors import DetectorsError
from detectors.report.junit import to_junit
from detectors.report.markdown import summarise_step, to_markdown
from detectors.report.report import Report


def write_text(target: Path, text: str) -> None:
    """Write a whole file or none. Errors: DetectorsError."""
    try:
        plain_files.write_text(target, text)
    except OSError as error:
        raise DetectorsError(f"cannot write {target}: {error.strerror or error}") from None


def write_formats(
    reports: Sequence[Report], *, junit: Path | None = None, markdown: Path | None = None, html: Path | None = None
) -> None:
    """Write reports for other readers than a terminal, those asked for; Markdown to a CI job's summary too."""
    text = "\n".join(map(to_markdown, reports))
    if junit is not None:
        write_text(junit, to_junit(reports))
    if markdown is not None:
        write_text(markdown, text)
    if html is not None:  # which holds one
        write_text(html, reports[0].to_html())
    summarise_step(text)
