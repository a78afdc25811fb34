"""`detectors compare`: what changed between two reports, or between two data sets of many."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from detectors.gate.baseline import Change

MOST = 50  # changes of verdicts that are listed


def compare(
    before: Annotated[Path, typer.Argument(metavar="A", show_default=False)],
    after: Annotated[Path, typer.Argument(metavar="B", show_default=False)],
) -> None:
    """Print what differs between two models, or two times many: reports that `detectors run CKPT --json FILE` wrote, or
    folders of `detectors run CKPT... --parquet DIR`.

    Checkpoints of two folders are compared by name; where no name is in both, by the part of it below the folder that
    all lie in. Exit code 0 whatever differs, 2 where A or B cannot be read.
    """
    if before.is_dir() or before.suffix == ".parquet":
        _compare_data_sets(before, after)
    else:
        _compare_reports(before, after)


def _compare_reports(before: Path, after: Path) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from detectors.core.visible import visible
    from detectors.gate.baseline import changes, read_report

    old, new = read_report(before), read_report(after)
    console, heading = Console(), Table.grid(padding=(0, 2))
    for name, report in (("A", old), ("B", new)):
        figures = f"accuracy {report.accuracy.all:.4f}, loss {report.loss.all:.2e}"
        heading.add_row(name, Text(visible(report.checkpoint.path), "bold"), Text(visible(report.task.spec)), figures)
    console.print(heading)
    if old.task.spec != new.task.spec:
        console.print("The tasks differ: verdicts can be compared, scores hardly.", style="yellow")
    found = changes(old, new)
    table = _table("detector", "what", "A", "B", "")
    for change in found:
        kind = change.kind.replace("_", " ")
        found_texts = (Text(visible(text)) for text in (change.detector, kind, change.before, change.after))
        table.add_row(*found_texts, _direction(change))
    console.print(table if found else "no difference", highlight=False)


def _compare_data_sets(before: Path, after: Path) -> None:
    from rich.console import Console
    from rich.text import Text

    from detectors.core.visible import visible
    from detectors.gate.datasets import changes_of_pairs, pairs, read_data_set

    old, new = read_data_set(before), read_data_set(after)
    compared = pairs(old, new)
    console = Console()
    for name, one in (("A", old), ("B", new)):
        errors = f", {len(one.errors)} that could not be scored" if one.errors else ""
        console.print(Text(visible(f"{name}  {one.place}: {len(one.checkpoints)} checkpoints{errors}")), soft_wrap=True)
    alone = [len(one.detections) - len(compared) for one in (old, new)]
    console.print(f"rows in both: {len(compared)}; in A alone: {alone[0]}; in B alone: {alone[1]}", highlight=False)
    for what, values in old.made.items():
        if values != new.made[what]:
            said = (" ".join(sorted(map(str, one.made[what]))) for one in (old, new))
            console.print(Text(visible("they were made with {} {} and {}".format(what, *said)), "yellow"))
    changes = changes_of_pairs(compared)
    _print_counts(console, changes)
    _print_verdicts(console, [(name, change) for name, change in changes if change.kind == "verdict"])


def _print_counts(console: Console, changes: list[tuple[str, Change]]) -> None:
    """For each detector how many rows differ, in what, and by how much at most."""
    from detectors.core.visible import visible

    if not changes:
        console.print("no difference")
        return
    table = _table("detector", "verdicts", "worse", "better", "scores", "largest change", "versions")
    for name in dict.fromkeys(change.detector for _, change in changes):
        own = [change for _, change in changes if change.detector == name]
        verdicts, scores, versions = ([c for c in own if c.kind == k] for k in ("verdict", "score", "version"))
        most = max(scores, key=lambda c: abs(float(c.after) - float(c.before)), default=None)
        directed = [sum(c.worse is way for c in verdicts) for way in (True, False)]
        moved = f"{most.before} to {most.after}" if most else ""
        table.add_row(visible(name), *map(str, (len(verdicts), *directed, len(scores))), moved, str(len(versions)))
    console.print(table, highlight=False)


def _print_verdicts(console: Console, changes: list[tuple[str, Change]]) -> None:
    from rich.text import Text

    from detectors.core.visible import visible

    table = _table("checkpoint", "detector", "A", "B", "")
    for name, change in changes[:MOST]:
        texts = (Text(visible(text)) for text in (name, change.detector, change.before, change.after))
        table.add_row(*texts, _direction(change))
    if changes:
        console.print("", table, highlight=False)
    if len(changes) > MOST:
        console.print(f"and {len(changes) - MOST} more verdicts that differ", highlight=False)


def _table(*columns: str) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        table.add_column(column)
    return table


def _direction(change: Change) -> Any:
    from rich.text import Text

    word, style = {True: ("worse", "red"), False: ("better", "green"), None: ("", "")}[change.worse]
    return Text(word, style=style)
