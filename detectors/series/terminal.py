"""A story as a person reads it in a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from detectors.core.verdict import Verdict
from detectors.core.visible import visible
from detectors.series.story import SPLITS, Course, Figures, Interval, Story, last_known
from detectors.series.telling import grouped

BLOCKS = "▁▂▃▄▅▆▇█"
FIXED = 56  # columns of a table without its sparklines
FEWEST, MOST = 8, 32  # of a sparkline
BLANK, CROSS = "·", "✕"


def render(story: Story, width: int = 80) -> RenderableType:
    """Sentences, and a line for every figure through the steps."""
    columns = min(max((width - FIXED) // 2, FEWEST), MOST)
    parts: list[RenderableType] = []
    if story.steps:
        known = len(story.steps) - len(story.untold)
        heading = f"{known} checkpoints of {story.task}, steps {grouped(story.steps[0])} to {grouped(story.steps[-1])}"
        parts.append(Text(visible(heading), style="bold"))
        parts.append(Padding(_table(story, columns), (1, 0)))
    if story.phases:
        parts.append(Padding(_phases(story), (0, 0, 1, 0)))
    parts += [Text(visible(sentence)) for sentence in story.telling]
    parts += [Text(visible(f"Forecast: {line}")) for line in forecast(story)]
    parts += [Text(visible(f"{grouped(s)}: {why}"), style="red") for s, why in story.untold.items()]
    return Group(*parts, *(Text(visible(f"Note: {note}"), style="yellow") for note in story.notes))


def sparkline(values: Figures, width: int) -> str:
    """Blocks from 0 to 1, checkpoints side by side, each column the mean of those that fall into it.

    >>> sparkline([0.0, 0.5, None, 1.0], 4)
    '▁▅·█'
    """
    columns = min(width, len(values))
    parts = [values[i * len(values) // columns : (i + 1) * len(values) // columns] for i in range(columns)]
    found = []
    for part in parts:
        known = [min(max(v, 0.0), 1.0) for v in part if v is not None]
        found.append(BLOCKS[min(int(sum(known) / len(known) * len(BLOCKS)), 7)] if known else BLANK)
    return "".join(found)


def strip(verdicts: Sequence[Verdict | None], width: int) -> str:
    """The signs of verdicts, of each column the commonest, and of those as common the later."""
    columns = min(width, len(verdicts))
    parts = [verdicts[i * len(verdicts) // columns : (i + 1) * len(verdicts) // columns] for i in range(columns)]
    most = [max(reversed(part), key=part.count) for part in parts]
    return "".join(CROSS if verdict is None else verdict.sign for verdict in most)


def _table(story: Story, columns: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("")
    table.add_column("value", no_wrap=True)
    table.add_column("last", justify="right")
    table.add_column("verdict", no_wrap=True)
    table.add_column("sets in", no_wrap=True)
    for split in SPLITS:
        if last_known(values := story.accuracy[split]) is not None:
            risen = _interval(story.rise) if split == story.rise_of else ""
            table.add_row(f"accuracy {split}", sparkline(values, columns), _last(values), "", risen)
    for name, course in story.motifs.items():
        if any(verdict not in (None, Verdict.NOT_APPLICABLE) for verdict in course.verdict):
            table.add_row(Text(visible(name)), *_line(story, name, course, columns))
    return table


def _line(story: Story, name: str, course: Course, columns: int) -> tuple[str, str, str, str]:
    signs = strip(course.verdict, columns)
    return sparkline(course.value, columns), _last(course.value), signs, _interval(story.onsets.get(name))


def _interval(found: Interval | None) -> str:
    if found is None:
        return ""
    return grouped(found[1]) if found[0] is None else f"{grouped(found[0])} to {grouped(found[1])}"


def _phases(story: Story) -> Table:
    table = Table.grid(padding=(0, 2))
    for phase in story.phases:
        span = grouped(phase.start) if phase.start == phase.end else f"{grouped(phase.start)} to {grouped(phase.end)}"
        table.add_row(Text(phase.phase, style="dim"), span)
    return table


def forecast(story: Story) -> list[str]:
    """In a sentence; nothing where there is none."""
    found = story.forecast
    if not found:
        return []
    said = {
        True: "a circuit is there or on its way",
        False: "no circuit is forming",
        None: "whether a circuit forms is not known",
    }
    forming = said[found.get("forming")]
    interval, level = found.get("interval"), found.get("level")
    if not interval:
        why = found.get("reason") or "no interval can be given"
        return [f"{forming}; {why}."]
    low, high = interval
    bound = f"not before {grouped(low)}, and it may never" if high is None else f"{grouped(low)} to {grouped(high)}"
    return [f"{forming}; unseen accuracy passes 99%: {bound}" + (f" (at {level:.0%})." if level else ".")]


def _last(values: Figures) -> str:
    value = last_known(values)
    return "" if value is None else f"{value:.3f}"
