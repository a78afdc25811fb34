"""`detectors run`: score checkpoints and print the reports."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detectors.cli import options as o

if TYPE_CHECKING:
    from detectors.report.report import Report


def run(
    checkpoints: Annotated[
        list[str],
        typer.Argument(metavar="CKPT...", help="Files, folders, or zoo:NAME; scored in turn.", show_default=False),
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
    threads: o.Threads = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no report on the terminal.")] = False,
) -> None:
    """Score a checkpoint with every detector and print the report.

    detectors run model.pt --task add:113 --train-indices train.json

    In the table, cut, keep and ctrl are the shares of the pairs answered right that stay right when the motif's
    subspace is removed, when only it is kept, and when a random one of its size is removed instead.
    """
    from rich.console import Console

    from detectors.core.errors import DetectorsError
    from detectors.report.files import write_formats
    from detectors.report.terminal import render

    check_names(detector)
    o.check_folders(json=json, junit=junit, markdown=markdown, html=html)
    if html is not None and len(checkpoints) > 1:
        raise typer.BadParameter(f"--html {html}: a page holds one report, not those of {len(checkpoints)} checkpoints")
    options: dict[str, Any] = {"task": task, "train_indices": train_indices, "train_split": train_split}
    options |= {"loader": loader, "arch": o.arch_options(arch), "tokens": tokens, "step": step, "text": text}
    console = Console(quiet=quiet or str(json) == "-")
    reports: list[Report] = []
    failed = False
    for path in checkpoints:
        try:
            report = o.scored(path, options, detector, draws=draws, seed=seed, threads=threads, quiet=quiet)
        except DetectorsError as error:
            failed = True
            o.complain(str(error) if path in str(error) or len(checkpoints) == 1 else f"{path}: {error}")
            continue
        if reports:
            console.rule(style="dim")
        console.print(render(report))
        reports.append(report)
    if json is not None and reports:
        _write_json(json, reports, many=len(checkpoints) > 1)
    if reports:
        write_formats(reports, junit=junit, markdown=markdown, html=html)
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
