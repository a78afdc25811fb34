"""`detectors run --parquet`: many checkpoints, rows in a folder, and on the terminal how often each verdict came."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from detectors.cli import options as o

if TYPE_CHECKING:
    from rich.console import Console

    from detectors.fleet.many import Fleet


def run_fleet(checkpoints: list[str], folder: Path, options: dict[str, Any], quiet: bool) -> None:
    """options: of `score_many`. Exit codes: 2 where a checkpoint could not be scored, 3 where a detector crashed."""
    from rich.console import Console

    if options["cluster"] and options["jobs"] > 1:
        raise typer.BadParameter("--jobs or --cluster, not both")
    with o.progress_bar(quiet, left=True) as (_, progress):
        try:
            from detectors.fleet.many import score_many

            done = score_many(checkpoints, folder, **options, progress=progress)
        except ImportError as error:
            raise typer.BadParameter(f"--parquet: {error}; pip install 'circuit-detectors[fleet]'") from None
    _print(Console(quiet=quiet), done)
    if done.errors:
        raise typer.Exit(2)
    if done.crashed:
        raise typer.Exit(3)


def _print(console: Console, done: Fleet) -> None:
    from rich.table import Table
    from rich.text import Text

    from detectors.core.verdict import Verdict
    from detectors.core.visible import visible

    counts = _counts(done)
    shown = [verdict for verdict in Verdict if any(verdict in row for row in counts.values())]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("detector")
    for verdict in shown:
        table.add_column(Text(f"{verdict.sign} {verdict}".replace("not_applicable", "n/a")), justify="right")
    for detector, row in counts.items():
        table.add_row(visible(detector), *(str(row.get(verdict, "")) for verdict in shown))
    if counts:
        console.print(table, "")
    said = [f"{len(done.scored)} scored"] + ([f"{done.kept} were there already"] if done.kept else [])
    said += [f"{len(done.errors)} could not be scored"] if done.errors else []
    said += [f"a detector crashed in {len(done.crashed)}"] if done.crashed else []
    console.print(Text(visible(f"{len(done.parts)} checkpoints: {', '.join(said)}; rows in {done.folder}")))


def _counts(done: Fleet) -> dict[str, dict[str, int]]:
    """How often each detector came to each verdict, of the checkpoints that were named, in the order of the rows."""
    from pyarrow import dataset

    table = dataset.dataset([str(part) for part in done.parts], format="parquet").to_table(["detector", "verdict"])
    found: dict[str, dict[str, int]] = {}
    for detector, verdict in zip(*(table[name].to_pylist() for name in ("detector", "verdict")), strict=True):
        if detector is not None:
            row = found.setdefault(detector, {})
            row[verdict] = row.get(verdict, 0) + 1
    return found
