"""The commands that judge: `detectors gate` and `detectors compare`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from detectors.harness.gate import Outcome
    from detectors.harness.report.model import Report


def gate(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help="A file, folder, or zoo:NAME.", show_default=False)],
    policy: Annotated[
        str,
        typer.Option(
            help="FILE.gate.toml, or pyproject.toml:NAME for its table tool.detectors.gate.NAME.", show_default=False
        ),
    ],
    baseline: Annotated[
        Path | None, typer.Option(help="JSON report of an earlier run to compare with.", show_default=False)
    ] = None,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Write the baseline, if the rest of the policy holds.")
    ] = False,
    task: Annotated[str | None, typer.Option(help="Over the policy's, as in run.", show_default=False)] = None,
    train_indices: Annotated[str | None, typer.Option(help="Over the policy's.", show_default=False)] = None,
    train_split: Annotated[
        str | None, typer.Option(metavar="FRACTION:SEED", help="Over the policy's.", show_default=False)
    ] = None,
    loader: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="Your own loader, as in run.", show_default=False)
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the report as JSON.", show_default=False)] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report with pictures.", show_default=False)] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML, a case a condition.", show_default=False)] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(help="Write Markdown; to $GITHUB_STEP_SUMMARY by itself where that is set.", show_default=False),
    ] = None,
    badge: Annotated[
        Path | None, typer.Option(help="Write a badge for shields.io as JSON.", show_default=False)
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="torch threads.")] = 1,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Only what failed.")] = False,
) -> None:
    """Hold a checkpoint against a policy; one line a condition.

    Exit codes: 0 every condition holds; 1 one does not, or could not be evaluated; 2 the call, the policy, the baseline
    or the checkpoint is wrong, or there is nothing to evaluate; 130 interrupted.

    --update-baseline writes --baseline, or the policy's own baseline file, from this run; conditions on the old one are
    then left out.
    """
    from rich.console import Console

    from detectors.harness.cli import check_folders, scored
    from detectors.harness.gate import conditions, evaluate, loading
    from detectors.harness.policy import PolicyError, read_policy
    from detectors.harness.report.files import write_text
    from detectors.harness.report.junit import to_junit
    from detectors.harness.report.markdown import badge as to_badge
    from detectors.harness.report.markdown import error_lines, summarise_step, to_markdown

    check_folders(json=json, html=html, junit=junit, markdown=markdown, badge=badge, baseline=baseline)
    rules, folder = read_policy(policy)
    own = folder / rules.baseline.file if rules.baseline and rules.baseline.file else None
    target = baseline or own
    if update_baseline and target is None:
        raise PolicyError("--update-baseline: say where with --baseline FILE, or with baseline.file in the policy")
    # before anything is scored, so that a policy that cannot be evaluated says so at once
    held = rules.model_copy(update={"baseline": None}) if update_baseline else rules
    found = conditions(held, folder, None if update_baseline else baseline)
    options = loading(rules, folder, task=task, train_indices=train_indices, train_split=train_split, loader=loader)
    report = scored(checkpoint, options, draws=rules.draws, seed=rules.seed, threads=threads, quiet=quiet)
    outcomes = evaluate(found, report)
    passed = all(o.passed for o in outcomes)
    texts: dict[Path | None, Callable[[], str]] = {
        json: report.to_json,
        html: report.to_html,
        junit: lambda: to_junit([report], outcomes),
        markdown: lambda: to_markdown(report, outcomes),
        badge: lambda: to_badge(outcomes),
    }
    for file, text in texts.items():
        if file is not None:
            write_text(file, text())
    summarise_step(to_markdown(report, outcomes))
    if os.environ.get("GITHUB_ACTIONS") == "true":
        for line in error_lines(outcomes, policy):
            typer.echo(line, err=True)
    console = Console()
    _print(report, outcomes, console, quiet)
    if update_baseline and target is not None:
        if passed:
            write_text(target, report.to_json())
            console.print(f"baseline {target} written", style="dim", highlight=False)
        else:
            console.print(f"baseline {target} left as it was: the gate failed", style="yellow", highlight=False)
    if not passed:
        raise typer.Exit(1)


def _print(report: Report, outcomes: list[Outcome], console: Console, quiet: bool) -> None:
    from rich.text import Text

    for outcome in outcomes:
        if outcome.passed and quiet:
            continue
        mark = Text("pass  ", style="green") if outcome.passed else Text("FAIL  ", style="bold red")
        # of a baseline condition that holds, what changed all the same is news
        said = outcome.id if outcome.passed and not outcome.id.startswith("baseline") else outcome.sentence
        console.print(mark + Text(said), soft_wrap=True)
    failed = sum(not o.passed for o in outcomes)
    if not quiet:
        console.print(Text(report.summary, style="dim"))
    for note in report.notes:
        console.print(Text(f"Note: {note}", style="yellow"))
    if failed:
        console.print(
            Text(f"gate failed: {failed} of {len(outcomes)} condition{'s' * (len(outcomes) > 1)}", style="bold red")
        )
    elif not quiet:
        console.print(Text(f"gate passed: {len(outcomes)} condition{'s' * (len(outcomes) > 1)}", style="green"))


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

    from detectors.harness.baseline import changes, read_report

    old, new = read_report(before), read_report(after)
    console = Console()
    heading = Table.grid(padding=(0, 2))
    for name, report in (("A", old), ("B", new)):
        figures = f"accuracy {report.accuracy.all:.4f}, loss {report.loss.all:.2e}"
        heading.add_row(name, Text(report.checkpoint.path, style="bold"), report.task.spec, figures)
    console.print(heading)
    if old.task.spec != new.task.spec:
        console.print("The tasks differ: verdicts can be compared, scores hardly.", style="yellow")
    found = changes(old, new)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("detector", "what", "A", "B", ""):
        table.add_column(column)
    for change in found:
        word = {True: "worse", False: "better", None: ""}[change.worse]
        style = {True: "red", False: "green", None: ""}[change.worse]
        cells = (change.detector, change.kind.replace("_", " "), change.before, change.after)
        table.add_row(*cells, Text(word, style=style))
    console.print(table if found else "no difference", highlight=False)
