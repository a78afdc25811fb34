"""`detectors run`: score checkpoints and print the reports."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detectors.cli import options as o
from detectors.cli.fleet import run_fleet

if TYPE_CHECKING:
    from rich.console import Console

    from detectors.report.report import Report


CKPT = (
    "Files, folders, patterns, URLs (s3://, hf://, ... through fsspec), zoo:NAME or zoo:all. A folder is one "
    "checkpoint; with --parquet all that are in it."
)


def run(
    checkpoints: Annotated[
        list[str],
        typer.Argument(metavar="CKPT...", help=CKPT, show_default=False),
    ],
    task: o.Task = None,
    detector: Annotated[list[str] | None, o.option("-d", "--detector", help="Run only this one; repeatable.")] = None,
    train_indices: o.TrainIndices = None,
    train_split: o.TrainSplit = None,
    step: o.Step = None,
    text: o.Text = None,
    tokens: o.Tokens = None,
    arch: o.Arch = None,
    loader: o.Loader = None,
    draws: Annotated[
        int | None,
        typer.Option(min=1, max=1_000_000, help="Permutations of each null.", show_default="as many as are needed"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    json: o.Json = None,
    junit: o.Junit = None,
    markdown: o.Markdown = None,
    html: o.Html = None,
    parquet: Annotated[
        Path | None, o.option(metavar="DIR", help="Many checkpoints: rows in a folder, taken up again where it ended.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that score, for --parquet.")] = 1,
    cluster: Annotated[str | None, o.option(metavar="ADDRESS", help="Of a Dask scheduler, in place of --jobs.")] = None,
    threads: o.Threads = None,
    device: Annotated[
        str | None, o.option(metavar="DEVICE", help="For forward passes and null draws, such as cuda.")
    ] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no report on the terminal.")] = False,
) -> None:
    """Score a checkpoint with every detector and print the report.

    detectors run model.pt --task add:113 --train-indices train.json

    detectors run sweep/ 's3://bucket/*.pt' zoo:all --parquet rows --jobs 4

    In the table, cut, keep and ctrl are the shares of the pairs answered right that stay right when the motif's
    subspace is removed, when only it is kept, and when a random one of its size is removed instead.

    With --parquet a row a checkpoint and detector is kept in a folder, for pandas.read_parquet or DuckDB, and the same
    command goes on where it was killed. Exit code 2 where a checkpoint could not be scored, 3 where a detector crashed.
    """
    check_names(detector)
    options: dict[str, Any] = {"task": task, "train_indices": train_indices, "train_split": train_split}
    options |= {"loader": loader, "arch": o.arch_options(arch), "tokens": tokens, "step": step, "text": text}
    files = {"json": json, "junit": junit, "markdown": markdown, "html": html}
    if parquet is not None:
        for name in (name for name, file in files.items() if file is not None):
            raise typer.BadParameter(f"--{name}: of many checkpoints rows are written alone; leave out --parquet")
        options |= {"names": detector, "draws": draws, "seed": seed, "threads": threads or 1, "device": device}
        return run_fleet(checkpoints, parquet, options | {"jobs": jobs, "cluster": cluster}, quiet)
    if jobs > 1 or cluster:
        raise typer.BadParameter("--jobs and --cluster need --parquet DIR, the folder that rows are written to")
    o.check_folders(**files)
    from rich.console import Console

    console = Console(quiet=quiet or str(json) == "-")
    scoring: dict[str, Any] = {"draws": draws, "seed": seed, "threads": threads, "device": device}
    score = partial(o.scored, options=options, names=detector, quiet=quiet, **scoring)
    _run_in_turn(_paths(checkpoints), score, files, console)


def _paths(checkpoints: list[str]) -> list[str]:
    """With patterns and folders of URLs spelt out."""
    if all(map(os.path.exists, checkpoints)):
        return checkpoints
    from detectors.fleet.sources import named

    return named(checkpoints)


def _run_in_turn(
    paths: list[str], score: Callable[[str], Report], files: dict[str, Path | None], console: Console
) -> None:
    from detectors.core.errors import DetectorsError
    from detectors.report.files import write_formats
    from detectors.report.terminal import render

    if files["html"] is not None and len(paths) > 1:
        raise typer.BadParameter(
            f"--html {files['html']}: a page holds one report, not those of {len(paths)} checkpoints"
        )
    reports: list[Report] = []
    failed = False
    for path in paths:
        try:
            report = score(path)
        except DetectorsError as error:
            failed = True
            o.complain(str(error) if path in str(error) or len(paths) == 1 else f"{path}: {error}")
            continue
        if reports:
            console.rule(style="dim")
        console.print(render(report))
        reports.append(report)
    json = files.pop("json")
    if json is not None and reports:
        _write_json(json, reports, many=len(paths) > 1)
    if reports:
        write_formats(reports, **files)
    if failed:
        raise typer.Exit(2)
    if any(d.verdict == "error" for r in reports for d in r):
        raise typer.Exit(3)


def check_names(names: list[str] | None) -> None:
    """Before anything is scored. Errors: typer.BadParameter for a detector that is not installed."""
    from difflib import get_close_matches

    from detectors.core.registry import names as installed

    for name in names or []:
        if name not in installed():
            close = get_close_matches(name, installed(), 1)
            hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(installed())}"
            raise typer.BadParameter(f"no detector {name!r}{hint}")


def _write_json(target: Path, reports: list[Any], many: bool) -> None:
    import json

    from detectors.report.files import write_text

    text = json.dumps([r.to_dict() for r in reports], indent=2) + "\n" if many else reports[0].to_json()
    if str(target) == "-":
        sys.stdout.write(text)
    else:
        write_text(target, text)
