"""A story as one page that works offline: curves by step, and pictures that a slider moves through training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from detectors.core.picture import Picture
from detectors.core.version import __version__
from detectors.report.drawing import Drawn
from detectors.report.html import environment, plotly_script
from detectors.series import figures
from detectors.series.moving import Panel, panels
from detectors.series.story import SPLITS, Story
from detectors.series.telling import between, grouped
from detectors.series.terminal import forecast


def to_html(story: Story, pictures: Mapping[int, Sequence[Picture]] | None = None) -> str:
    """One self-contained page. pictures: of the detectors by step, where checkpoints were scored; without them there
    are figures alone. Errors: DetectorsError where jinja2 or plotly, the extra `html`, is not installed.
    """
    found: list[Panel] = panels(story, pictures or {})
    drawn: list[Drawn] = [*figures.curves(story), *figures.through(story, pictures or {})]
    page = environment().get_template("track.html.j2")
    return page.render(
        story=story,
        drawn=drawn,
        panels=found,
        captions=[_caption(story, step) for step in (found[0].steps if found else [])],
        phase_of=_phase_of(story),
        rows=_rows(story),
        between=between,
        grouped=grouped,
        splits=[s for s in SPLITS if any(v is not None for v in story.accuracy[s])],
        forecast=forecast(story),
        version=__version__,
        plotly=plotly_script(),
    )


def _caption(story: Story, step: int) -> str:
    i = story.steps.index(step)
    figures = {"G": story.g[i], "M": story.m[i]}
    figures |= {f"accuracy {split}": story.accuracy[split][i] for split in ("train", "test", "unseen")}
    said = [f"{name} {value:.2f}" for name, value in figures.items() if value is not None]
    phase = _phase_of(story).get(step, "")
    return "; ".join(filter(None, [f"step {grouped(step)}", phase, ", ".join(said)]))


def _phase_of(story: Story) -> dict[int, str]:
    return {s: p.phase for p in story.phases for s in story.steps if p.start <= s <= p.end}


def _rows(story: Story) -> list[dict[str, Any]]:
    """Of the table: a checkpoint a row."""
    return [
        {
            "step": step,
            "accuracy": {split: story.accuracy[split][i] for split in SPLITS},
            "values": [(course.value[i], course.verdict[i]) for course in story.motifs.values()],
            "error": story.untold.get(step, ""),
        }
        for i, step in enumerate(story.steps)
    ]
