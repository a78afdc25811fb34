"""The command `detectors`. Heavy imports happen inside the commands, so `--help` is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detectors.harness.cli_gate import compare, gate

if TYPE_CHECKING:
    from detectors.core.sequences import SequenceView
    from detectors.core.view import ModelView
    from detectors.harness.report.model import Report

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")


@app.callback(invoke_without_command=True)
def root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    """Which circuit is inside a trained model, how sure is that, and does the model use it?

    Exit codes: 0 done; 2 the call or an input is wrong (other checkpoints are scored all the same); 3 a detector
    crashed (the rest is reported); 130 interrupted.
    """
    if version:
        import detectors

        typer.echo(f"detectors {detectors.__version__}")
        raise typer.Exit


@app.command()
def run(
    checkpoints: Annotated[
        list[str],
        typer.Argument(metavar="CKPT...", help="Files, folders, or zoo:NAME; scored in turn.", show_default=False),
    ],
    task: Annotated[
        str | None,
        typer.Option(
            help="What the model answers: add:113, sub:P, mul:P, div:P, quad:P, max:P, min:P, compose:S5, "
            "table:FILE.npy, or infer; of sequences repeat, skip_trigrams, digits:5. Not needed where the checkpoint "
            "says.",
            show_default=False,
        ),
    ] = None,
    detector: Annotated[
        list[str] | None, typer.Option("-d", "--detector", help="Run only this one; repeatable.", show_default=False)
    ] = None,
    train_indices: Annotated[
        str | None, typer.Option(help="JSON list or .npy of training pairs a*n_tokens + b.", show_default=False)
    ] = None,
    train_split: Annotated[
        str | None,
        typer.Option(
            metavar="FRACTION:SEED", help="0.4:1 is the first 40% of torch.randperm seeded with 1.", show_default=False
        ),
    ] = None,
    arch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="What shapes cannot show: act_fn=gelu, attn_coeff=0.8, normalization_type=LNPre. Repeatable.",
            show_default=False,
        ),
    ] = None,
    loader: Annotated[
        str | None,
        typer.Option(metavar="MODULE:FUNCTION", help="Your own loader: (path, task) -> ModelView.", show_default=False),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, max=1_000_000, help="Permutations of each null.")] = 199,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    json: Annotated[
        Path | None, typer.Option(help="Write the report as JSON; - for stdout.", show_default=False)
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML, a case a detector.", show_default=False)] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Write Markdown; to $GITHUB_STEP_SUMMARY by itself where that is set.", show_default=False),
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="Write a page with pictures, of one report.", show_default=False)
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="torch threads; small models gain little from more.")] = 1,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and no report on the terminal.")] = False,
) -> None:
    """Score a checkpoint with every detector and print the report.

    detectors run model.pt --task add:113 --train-indices train.json

    In the table, cut, keep and ctrl are the shares of the pairs answered right that stay right when the motif's
    subspace is removed, when only it is kept, and when a random one of its size is removed instead.
    """
    from rich.console import Console

    from detectors.core.errors import DetectorsError
    from detectors.harness.report.files import write_formats
    from detectors.harness.report.terminal import print_report

    _check_names(detector)
    check_folders(json=json, junit=junit, markdown=markdown, html=html)
    if html is not None and len(checkpoints) > 1:
        raise typer.BadParameter(f"--html {html}: a page holds one report, not those of {len(checkpoints)} checkpoints")
    options: dict[str, Any] = {
        "task": task,
        "train_indices": train_indices,
        "train_split": train_split,
        "loader": loader,
    }
    options["arch"] = _arch_options(arch)
    to_stdout = json is not None and str(json) == "-"
    console = Console(quiet=quiet or to_stdout)
    reports: list[Report] = []
    failed = False
    for path in checkpoints:
        try:
            report = scored(path, options, detector, draws=draws, seed=seed, threads=threads, quiet=quiet)
        except DetectorsError as error:
            failed = True
            _complain(str(error) if path in str(error) or len(checkpoints) == 1 else f"{path}: {error}")
            continue
        if reports:
            console.rule(style="dim")
        print_report(report, console)
        if html is None:
            report._model = None  # or the activations of every checkpoint would stay in memory
        reports.append(report)
    if json is not None and reports:
        _write_json(json, reports, many=len(checkpoints) > 1)
    if reports:
        write_formats(reports, junit=junit, markdown=markdown, html=html)
    if failed:
        raise typer.Exit(2)
    if any(d.verdict == "error" for r in reports for d in r):
        raise typer.Exit(3)


@app.command("list")
def list_() -> None:
    """Show the detectors: what each looks for and needs, its threshold, and how often it was right and wrong.

    found: models of the zoo that have the motif and are called present. false: random models without it, untrained,
    rank-matched, under other token names, and decoys, that are called present all the same. With the bound of the 95%
    Clopper-Pearson interval that matters; each family is judged by a threshold that it had no part in.
    """
    from rich.console import Console
    from rich.table import Table

    from detectors.core.registry import load, names, spec_of
    from detectors.harness.verdict import calibration

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("detector", "v", "threshold", "found", "false"):
        table.add_column(heading, no_wrap=True, justify="left" if heading == "detector" else "right")
    about = Table.grid(padding=(0, 2))
    known = calibration()
    for name in names():
        row = known["rows"].get(name)
        try:
            spec = spec_of(load(name))
        except Exception as error:  # a plugin that does not load is a line, not the end
            table.add_row(name, "", "", "", "")
            about.add_row(name, f"[red]does not load: {type(error).__name__}: {error}[/]")
            continue
        figures = ("none", "", "") if row is None else (f"{row['threshold']:.2f}", *_rates(row))
        table.add_row(name, str(spec.version), *figures)
        about.add_row(name, f"{spec.summary} [dim]{spec.source}; needs {', '.join(spec.needs)}[/]")
    console = Console()
    console.print(table, "", about)
    if known["status"] == "stale":
        console.print("The calibration is of another zoo than the one installed: verdicts are off.", style="red")


def _rates(row: dict[str, Any]) -> tuple[str, str]:
    """Whole verdicts: share found with its lower bound, share of false ones with its upper bound."""
    found, false = row["true_positives"]["verdict"], row["false_positives"]["verdict"]
    return (
        f"{found['count']}/{found['of']} (>= {found['low']:.0%})",
        f"{false['count']}/{false['of']} (<= {false['high']:.1%})",
    )


def scored(
    path: str,
    options: dict[str, Any],
    names: list[str] | None = None,
    *,
    draws: int,
    seed: int,
    threads: int,
    quiet: bool,
) -> Report:
    """The report of a checkpoint, with progress. options: of `detectors.load`."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:<26}"), BarColumn(), TimeElapsedColumn())
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=quiet or not sys.stderr.isatty()
    ) as bar:
        shown = bar.add_task("loading", total=None)
        import torch

        import detectors

        torch.set_num_threads(threads)
        model: ModelView | SequenceView = detectors.load(path, **options)
        report: Report = detectors.run(
            model,
            names=names,
            draws=draws,
            seed=seed,
            progress=lambda text, done, total: bar.update(shown, description=text, completed=done, total=total),
        )
    return report


def check_folders(**files: Path | None) -> None:
    """Before anything is scored: is there a folder for what is to be written?"""
    for option, file in files.items():
        if file is not None and not file.parent.is_dir():
            raise typer.BadParameter(f"--{option} {file}: there is no folder {file.parent}")


def _check_names(names: list[str] | None) -> None:
    from difflib import get_close_matches

    from detectors.core.registry import names as known

    for name in names or []:
        if name not in known():
            close = get_close_matches(name, known(), 1)
            raise typer.BadParameter(
                f"no detector {name!r}"
                + (f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known())}")
            )


def _arch_options(arch: list[str] | None) -> dict[str, str]:
    options = {}
    for item in arch or []:
        key, equals, value = item.partition("=")
        if not equals or not key or not value:
            raise typer.BadParameter(f"--arch {item}: write KEY=VALUE, e.g. --arch act_fn=gelu")
        options[key] = value
    return options


def _write_json(target: Path, reports: list[Report], many: bool) -> None:
    import json

    text = reports[0].to_json() if not many else json.dumps([r.to_dict() for r in reports], indent=2) + "\n"
    if str(target) == "-":
        sys.stdout.write(text)
        return
    from detectors.harness.report.files import write_text

    write_text(target, text)


def _complain(message: str) -> None:
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)


app.command()(gate)
app.command()(compare)


def main() -> None:
    """Entry point: exit codes as documented, whatever raised."""
    from detectors.core.errors import DetectorsError

    try:
        app(standalone_mode=True)
    except DetectorsError as error:
        _complain(str(error))
        sys.exit(2)
    except SystemExit as stopped:
        if stopped.code == 130:  # typer turns Ctrl-C into this without a word
            _complain("interrupted; what was not finished is not written")
        raise
    except KeyboardInterrupt:
        _complain("interrupted; what was not finished is not written")
        sys.exit(130)


if __name__ == "__main__":
    main()
