"""The command `python -m models_zoo calibrate`: progress, files and what is printed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any

import typer

from detectors.core import registry
from detectors.report.files import write_text
from models_zoo import bench, own_models
from models_zoo.calibrate import Scored, calibrate, imported, row, score_all


def of_ours(*, draws: int, part: int, workers: int, out: Path | None, subject: str = "") -> None:
    """All of ours, or those of one kind of model, into the table that `detectors` ships."""
    shipped = Path(str(files("detectors.judging").joinpath("calibration.json")))
    jobs = [job for job in bench.jobs(draws) if subject in ("", bench.subject(job))][::part]
    table = calibrate(_scored(jobs, workers))
    if subject:  # the rest as it was
        table["rows"] = json.loads(shipped.read_text())["rows"] | table["rows"]
    write_text(out or shipped, json.dumps(table, indent=1) + "\n")
    _print(table["rows"])


def of_plugin(
    plugin: str, *, folder: Path | None, motif: str, draws: int, part: int, workers: int, out: Path | None
) -> None:
    """One detector of a third party, into a file of its own."""
    function = imported(plugin)
    name, jobs, build = registry.spec_of(function).name, bench.jobs(draws)[::part], bench.model
    if not motif:
        cards = own_models.read(folder)
        jobs, build = own_models.jobs(cards, jobs), partial(own_models.model, folder=folder, motif=name)
    scored = _scored(jobs, workers, detector=plugin, motif=motif or name, build=build)
    for there, option in ((True, "present"), (False, "absent")):
        if not any(s.there == there and s.score is not None for s in scored):
            raise typer.BadParameter(
                f"no model of known answer is {option}: name some in cards.toml of --models FOLDER"
            )
    found = row(scored, function)
    target = out or Path(f"{name}.calibration.json")
    write_text(target, json.dumps({"as": motif or name, "rows": {name: found}}, indent=1) + "\n")
    _print({name: found})
    typer.echo(f"wrote {target}")


def _scored(jobs: Sequence[bench.Job], workers: int, **how: Any) -> list[Scored]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("calibrating"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(jobs))
        return score_all(jobs, workers, lambda done, total: progress.update(bar, completed=done), **how)


def _print(rows: Mapping[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("detector", "threshold", "AUC", "found by value", "by verdict", "false by value", "by verdict"):
        table.add_column(heading, no_wrap=True)
    for name, found in rows.items():
        hits, false = found["true_positives"], found["false_positives"]
        shares = [f"{r['count']}/{r['of']} (>= {r['low']:.1%})" for r in (hits["value"], hits["verdict"])]
        shares += [f"{r['count']}/{r['of']} (<= {r['high']:.1%})" for r in (false["value"], false["verdict"])]
        table.add_row(name, f"{found['threshold']:.2f}", f"{found['auc']:.3f}", *shares)
    console = Console()
    console.print(table)
    for name, found in rows.items():
        for which in ("missed", "wrong"):
            if found[which]:
                console.print(f"{name} {which}: {', '.join(found[which])}", highlight=False)
