"""`detectors track`: a run's checkpoints as a story."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detectors.cli import options as o

if TYPE_CHECKING:
    from detectors import Track

STEP_FROM = (
    "Where a checkpoint's step stands, unless its name or its own step, epoch, ... says it: a regular expression with "
    "one group, for the path, or a key of what is in the file."
)


def track(
    checkpoints: Annotated[
        list[str],
        typer.Argument(
            metavar="FOLDER...",
            help="A folder of checkpoints, files, zoo:NAME; a folder of Parquet; a file of losses (CSV, JSON, .pth).",
            show_default=False,
        ),
    ],
    task: o.Task = None,
    detector: Annotated[list[str] | None, o.option("-d", "--detector", help="Run only this one; repeatable.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Motifs of mechanism too: twice the time.")] = False,
    step_from: Annotated[str | None, o.option(metavar="REGEX|KEY", help=STEP_FROM)] = None,
    train_indices: o.TrainIndices = None,
    train_split: o.TrainSplit = None,
    tokens: o.Tokens = None,
    arch: o.Arch = None,
    loader: o.Loader = None,
    draws: Annotated[
        int | None,
        typer.Option(min=1, max=1_000_000, help="Permutations of each null.", show_default="as `run`"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    json: Annotated[Path | None, o.option(help="Write the story as JSON; - for stdout.")] = None,
    parquet: Annotated[
        Path | None, o.option(metavar="DIR", help="Write a row a checkpoint and detector, for `track` and pandas.")
    ] = None,
    html: Annotated[Path | None, o.option(help="Write a page of curves, and pictures that move by step.")] = None,
    threads: o.Threads = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and nothing on the terminal.")] = False,
) -> None:
    """Tell the story of a run from its checkpoints: what set in when, and how long before the accuracy.

    detectors track run/ --task add:113 --train-indices train.json --html run.html

    Scored are the motifs that ask what is there, with the verdicts of `detectors run`; --all adds those of mechanism.
    A motif sets in at the first checkpoint from which it is present three times running, or until the end. Exit codes:
    0 done; 2 the call is wrong, or a checkpoint could not be scored (the others are); 3 a detector crashed.
    """
    from rich.console import Console

    from detectors.cli.run import check_names
    from detectors.series.terminal import render

    check_names(detector)
    o.check_folders(json=json, html=html, parquet=parquet)
    options: dict[str, Any] = {"task": task, "train_indices": train_indices, "train_split": train_split}
    options |= {"loader": loader, "arch": o.arch_options(arch), "tokens": tokens}
    found = _tracked(checkpoints, options, detector, every, draws, seed, step_from, threads, quiet)
    console = Console(quiet=quiet or str(json) == "-")
    console.print(render(found.story, console.width))
    _write(found, json, parquet, html)
    if found.story.untold:
        raise typer.Exit(2)
    if any(row["verdict"] == "error" for row in found.rows):
        raise typer.Exit(3)


def _tracked(
    checkpoints: list[str],
    options: dict[str, Any],
    detector: list[str] | None,
    every: bool,
    draws: int | None,
    seed: int,
    step_from: str | None,
    threads: int | None,
    quiet: bool,
) -> Track:
    with o.progress_bar(quiet, left=True) as (_, progress):
        import detectors
        from detectors.core.threads import with_threads

        scoring: dict[str, Any] = {"names": detector, "every": every, "draws": draws, "seed": seed}
        return with_threads(
            lambda: detectors.track(checkpoints, step_from=step_from, progress=progress, **scoring, **options),
            threads,
        )


def _write(found: Track, json: Path | None, parquet: Path | None, html: Path | None) -> None:
    from detectors.report.files import write_text

    if json is not None and str(json) == "-":
        sys.stdout.write(found.story.to_json())
    elif json is not None:
        write_text(json, found.story.to_json())
    if parquet is not None:
        from detectors.series.table import write_table

        write_table(parquet, found.rows)
    if html is not None:
        from detectors.series.page import to_html

        write_text(html, to_html(found.story, found.pictures))
