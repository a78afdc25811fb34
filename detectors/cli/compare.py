"""`detectors compare`: what changed between two reports."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def compare(
    before: Annotated[Path, typer.Argument(metavar="A.json", show_default=False)],
    after: Annotated[Path, typer.Argument(metavar="B.json", show_default=False)],
) -> None:
    """Print what differs between two models: reports that `detectors run CKPT --json FILE` wrote.

    Exit code 0 whatever differs, 2 where a report cannot be read.
    """
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
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("detector", "what", "A", "B", ""):
        table.add_column(column)
    for change in found:
        word, style = {True: ("worse", "red"), False: ("better", "green"), None: ("", "")}[change.worse]
        kind = change.kind.replace("_", " ")
        found_texts = (Text(visible(text)) for text in (change.detector, kind, change.before, change.after))
        table.add_row(*found_texts, Text(word, style=style))
    console.print(table if found else "no difference", highlight=False)
