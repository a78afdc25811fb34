"""`detectors gate`: hold a checkpoint against a policy."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detectors.cli import options as o
from detectors.core.visible import visible

if TYPE_CHECKING:
    from detectors.gate.apart import Scored
    from detectors.report.model import Outcome
    from detectors.report.report import Report

POLICY = "FILE.gate.toml, or pyproject.toml:NAME for its table tool.detectors.gate.NAME."
TIMEOUT = "How long loading and scoring may take; no limit without it."
UPDATE = "Write the baseline, if the rest of the policy holds."


def gate(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help="A file, folder, or zoo:NAME.", show_default=False)],
    policy: Annotated[str, o.option(help=POLICY)],
    baseline: Annotated[Path | None, o.option(help="JSON report of an earlier run to compare with.")] = None,
    update_baseline: Annotated[bool, typer.Option("--update-baseline", help=UPDATE)] = False,
    task: o.Task = None,
    train_indices: o.TrainIndices = None,
    train_split: o.TrainSplit = None,
    tokens: o.Tokens = None,
    step: o.Step = None,
    loader: o.Loader = None,
    json: o.Json = None,
    html: o.Html = None,
    junit: o.Junit = None,
    markdown: o.Markdown = None,
    badge: Annotated[Path | None, o.option(help="Write a badge for shields.io as JSON.")] = None,
    threads: o.Threads = None,
    timeout: Annotated[float | None, o.option(min=0, metavar="SECONDS", help=TIMEOUT)] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only what failed.")] = False,
) -> None:
    """Hold a checkpoint against a policy; one line a condition.

    Exit codes: 0 every condition holds; 1 one does not, or could not be evaluated; 2 the call, the policy, the baseline
    or the checkpoint is wrong, or there is nothing to evaluate; 130 interrupted.

    The checkpoint is loaded and scored in a process of its own: what a loader or plugin does there, exits, prints or
    hangs, cannot make this code 0. What it prints stands on stderr behind a bar.

    What is given here goes over what the policy says. --update-baseline writes --baseline, or the policy's own baseline
    file, from this run; conditions on the old one are then left out.
    """
    from detectors.gate.conditions import conditions, evaluate, loading
    from detectors.gate.policy import PolicyError, read_policy
    from detectors.report.files import write_text
    from detectors.report.junit import to_junit
    from detectors.report.markdown import badge as to_badge
    from detectors.report.markdown import error_lines, summarise_step, to_markdown

    o.check_folders(json=json, html=html, junit=junit, markdown=markdown, badge=badge, baseline=baseline)
    rules, folder = read_policy(policy)
    target = baseline or (folder / rules.baseline.file if rules.baseline and rules.baseline.file else None)
    if update_baseline and target is None:
        raise PolicyError("--update-baseline: say where with --baseline FILE, or with baseline.file in the policy")
    # before anything is scored, so that a policy that cannot be evaluated says so at once
    held = rules.model_copy(update={"baseline": None}) if update_baseline else rules
    found = conditions(held, folder, None if update_baseline else baseline)
    said = {"task": task, "train_indices": train_indices, "train_split": train_split, "tokens": tokens, "step": step}
    options = loading(rules, folder, **said, loader=loader)
    asked = {"draws": rules.draws, "seed": rules.seed, "threads": threads, "timeout": timeout}
    asked["certify"] = rules.accuracy.certified is not None
    report, page = _scored(checkpoint, options, asked, page=html is not None, quiet=quiet)
    outcomes = evaluate(found, report)
    passed = bool(outcomes) and all(outcome.passed for outcome in outcomes)
    texts: dict[Path | None, Callable[[], str]] = {
        json: report.to_json,
        html: lambda: page,
        junit: lambda: to_junit([report], outcomes),
        markdown: lambda: to_markdown(report, outcomes),
        badge: lambda: to_badge(outcomes),
        target if update_baseline and passed else None: report.to_json,
    }
    for file, text in texts.items():
        if file is not None:
            write_text(file, text())
    summarise_step(to_markdown(report, outcomes))
    for line in error_lines(outcomes, policy) if os.environ.get("GITHUB_ACTIONS") == "true" else ():
        typer.echo(line, err=True)
    _print(report, outcomes, quiet, target if update_baseline else None)
    if not passed:
        raise typer.Exit(1)


def _scored(checkpoint: str, options: dict[str, Any], asked: dict[str, Any], *, page: bool, quiet: bool) -> Scored:
    """With progress, and beside it what the process that scores prints."""
    from detectors.gate.apart import score_apart

    with o.progress_bar(quiet) as (console, progress):
        return score_apart(checkpoint, options, **asked, page=page, progress=progress, said=partial(o.quote, console))


def _print(report: Report, outcomes: list[Outcome], quiet: bool, baseline: Path | None) -> None:
    from rich.console import Console
    from rich.text import Text

    console, failed = Console(), sum(not outcome.passed for outcome in outcomes)
    for outcome in outcomes:
        if outcome.passed and quiet:
            continue
        mark = Text("pass  ", style="green") if outcome.passed else Text("FAIL  ", style="bold red")
        # of a baseline condition that holds, what changed all the same is news
        said = outcome.id if outcome.passed and not outcome.id.startswith("baseline") else outcome.sentence
        console.print(mark + Text(visible(said)), soft_wrap=True)
    if not quiet:
        console.print(Text(visible(report.summary), style="dim"))
    for note in report.notes:
        console.print(Text(visible(f"Note: {note}"), style="yellow"))
    counted = f"{len(outcomes)} condition{'s' * (len(outcomes) > 1)}"
    if failed:
        console.print(Text(f"gate failed: {failed} of {counted}", style="bold red"))
    elif not quiet:
        console.print(Text(f"gate passed: {counted}", style="green"))
    if baseline is not None:
        what, style = ("left as it was: the gate failed", "yellow") if failed else ("written", "dim")
        console.print(Text(visible(f"baseline {baseline} {what}")), style=style, soft_wrap=True)
