"""Options that several commands share."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detectors.core.blame import told
from detectors.core.errors import DetectorsError
from detectors.core.visible import visible, visible_lines

if TYPE_CHECKING:
    from rich.console import Console

Progress = Callable[[str, int, int], None]


def option(*names: str, **kwargs: Any) -> Any:
    """One whose default says nothing that its help does not."""
    return typer.Option(*names, show_default=False, **kwargs)


TASK = (
    "What the model answers: add:113, sub:P, mul:P, div:P, quad:P, max:P, min:P, compose:S5, table:FILE.npy, or infer; "
    "of sequences repeat, skip_trigrams, digits:N, sum:N, sort:LENGTH, sort_with_start:LENGTH, palindrome:HALF, "
    "brackets:LENGTH, cumsum:LENGTH, first_unique:LENGTH, data:FILE.npz (`tokens` and `targets`, -100 where nothing "
    "is asked); of toy autoencoders features:DENSITY, the share of cases in which a feature is active. Not needed "
    "where the checkpoint or the policy says."
)
SUMMARY = "Write Markdown; to $GITHUB_STEP_SUMMARY by itself where that is set."

Task = Annotated[str | None, option(help=TASK)]
TRAIN_INDICES = "Training pairs: numbers a*n_tokens + b, rows a b or a b c, or a mask; .json .npy .npz .pt .csv."
TRAIN_SPLIT = (
    "0.4:1 is the first 40% of torch.randperm seeded with 1; 0.4:1:random, :numpy, :default_rng and :sklearn are other "
    "recipes, 0.4:auto the one that the loss bears out."
)
STEP = "Which of several states in a file or folder: a number or a key. The last otherwise."
TrainIndices = Annotated[str | None, option(help=TRAIN_INDICES)]
TrainSplit = Annotated[str | None, option(metavar="FRACTION:SEED", help=TRAIN_SPLIT)]
Step = Annotated[str | None, option(metavar="STEP", help=STEP)]
Loader = Annotated[str | None, option(metavar="MODULE:FUNCTION", help="Your own loader: (path, task) -> ModelView.")]
TOKENS = (
    'What the model reads, where the trial of the usual layouts does not settle it: "a op b =", "= a b", "a b"; with '
    'the numbers of special tokens and of the digit 0 where they are unusual: "a:1 b:1 =:0".'
)
KEY_VALUE = (
    "What shapes cannot show and the trial does not settle: act_fn=gelu, n_heads=4, norm=post, causal=false, "
    "readout=mean, positions=sinusoidal, attn_coeff=0.8, normalization_type=LNPre. Repeatable."
)
TEXT = "For a language model: score it on a text of yours in place of words that come again."
Text = Annotated[Path | None, option(metavar="FILE", help=TEXT)]
Tokens = Annotated[str | None, option(metavar='"a op b ="', help=TOKENS)]
Arch = Annotated[list[str] | None, option(metavar="KEY=VALUE", help=KEY_VALUE)]
Json = Annotated[Path | None, option(help="Write the report as JSON; `run` takes - for stdout.")]
Html = Annotated[Path | None, option(help="Write a page with pictures, of one report.")]
Junit = Annotated[Path | None, option(help="Write JUnit XML, a case a detector or, under a gate, a condition.")]
Markdown = Annotated[Path | None, option(help=SUMMARY)]
THREADS = "torch threads; small models gain little from more."
Threads = Annotated[int | None, typer.Option(min=1, help=THREADS, show_default="1; all cores for a language model")]


def arch_options(arch: list[str] | None) -> dict[str, str]:
    """KEY=VALUE, each of them, as a dictionary."""
    options = {}
    for item in arch or []:
        key, _, value = item.partition("=")
        if not key or not value:
            raise typer.BadParameter(f"--arch {item}: write KEY=VALUE, e.g. --arch act_fn=gelu")
        options[key] = value
    return options


def check_folders(**files: Path | None) -> None:
    """Before anything is scored: is there a folder for what is to be written?"""
    for option, file in files.items():
        if file is not None and not file.parent.is_dir():
            raise typer.BadParameter(f"--{option} {file}: there is no folder {file.parent}")


def complain(message: str) -> None:
    """An error in words, on stderr."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text("error: ", style="bold red") + Text(visible_lines(message)), soft_wrap=True)


def quote(console: Console, line: str) -> None:
    """What user code printed, so that nobody takes it for ours."""
    from rich.text import Text

    console.print(Text(f"| {visible(line)}", style="dim"), soft_wrap=True)


def scored(
    path: str,
    options: dict[str, Any],
    names: list[str] | None = None,
    *,
    draws: int | None,
    seed: int,
    device: str | None,
    threads: int | None,
    quiet: bool,
) -> Any:
    """The report of a checkpoint, with progress. options: of `detectors.load`."""
    import detectors
    from detectors.core.registry import all_of

    def report(model: Any, progress: Progress) -> Any:
        return detectors.run(model, names=names, draws=draws, seed=seed, progress=progress, device=device)

    options = options | {"words": names is not None and all_of("words", names)}
    return asked(path, options, report, threads=threads, quiet=quiet)


def asked(
    path: str, options: dict[str, Any], what: Callable[[Any, Progress], Any], *, threads: int | None, quiet: bool
) -> Any:
    """What is asked of the model of a checkpoint, with progress. options: of `detectors.load`."""
    with progress_bar(quiet) as (_, progress), ExitStack() as at_hand:
        import detectors
        from detectors.core.threads import with_threads
        from detectors.fleet.sources import local

        file = at_hand.enter_context(local(path))
        model = with_threads(lambda: detectors.load(file, **options), threads)
        if file != path:
            model.checkpoint = replace(model.checkpoint, path=path)
        try:
            return what(model, progress)
        except (DetectorsError, KeyboardInterrupt):
            raise
        except BaseException as error:  # a network of the user's that exits at a later pass must not choose the code
            if isinstance(error, Exception) and not options["loader"]:
                raise
            raise DetectorsError(f"{path} is not scored: the network raised {told(error)}") from error


@contextmanager
def progress_bar(quiet: bool, left: bool = False) -> Iterator[tuple[Console, Progress]]:
    """On stderr, where that is a terminal: what to print beside it with, and what moves it. What the library has to say
    meanwhile (logging, "detectors") is printed there too. left: with the number of steps and the time left.
    """
    from rich.console import Console
    from rich.logging import RichHandler
    from rich.markup import escape
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as TimeLeftColumn

    columns = [TextColumn("{task.description:<26}"), BarColumn(), TimeElapsedColumn()]
    if left:
        columns += [MofNCompleteColumn(), TextColumn("left"), TimeLeftColumn()]
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=quiet or not sys.stderr.isatty()) as bar:
        shown = bar.add_task("loading", total=None)

        def progress(text: str, done: int, total: int) -> None:
            bar.update(shown, description=escape(visible(text)), completed=done, total=total)

        log, plain = logging.getLogger("detectors"), {"show_time": False, "show_level": False, "show_path": False}
        handler = RichHandler(logging.WARNING if quiet else logging.INFO, console, **plain)  # type: ignore[arg-type]
        level = log.level
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        try:
            yield console, progress
        finally:
            log.removeHandler(handler)
            log.setLevel(level)
