"""`python -m models_zoo`: the reference models, listed, trained again from their cards, and verified."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, rich_markup_mode=None)


@app.command("list")
def list_() -> None:
    """Show the members, what they are and what is known of them."""
    from itertools import groupby

    from rich.console import Console
    from rich.table import Table

    from models_zoo.cards import cards, expected, folders, measured

    console, width = Console(), max(map(len, cards()))
    for family, members in groupby(cards(), key=lambda name: cards()[name]["family"]):
        names = list(members)
        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for size in (width, 13, 5, 5):
            table.add_column(min_width=size, no_wrap=True)
        table.add_column(ratio=1)
        console.print(f"[bold]{family}[/] ({cards()[names[0]]['kind']}) {cards()[names[0]]['known']}", highlight=False)
        for name in names:
            card, facts = cards()[name], measured(folders(name)[-1])
            accuracy = [f"{facts[k]:.3f}" if facts else "" for k in ("train_accuracy", "test_accuracy")]
            task = card.get("task") or card.get("table", {}).get("kind", "")
            there = [m for m, verdict in expected(card).items() if verdict == "present"]
            table.add_row(name, task, *accuracy, f"{card['about']} [dim]({', '.join(there) or 'none'})[/]")
        console.print(table)
    console.print(
        f"{len(cards())} members: accuracy on training and on other pairs, what each is, and the motifs that its card "
        "calls present",
        style="dim",
    )


@app.command()
def train(
    names: Annotated[list[str] | None, typer.Argument(help="Members, as `list` shows them.")] = None,
    missing: Annotated[bool, typer.Option("--missing", help="All members whose weights are not there yet.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder to write to instead, one folder a member.")] = None,
    threads: Annotated[int, typer.Option(help="torch threads; the bytes depend on it.")] = 1,
) -> None:
    """Train members from their recipes. An interrupted run is taken up where it was, half a minute back at most.

    Two processes at once use two cores: start the command twice with different names.
    """
    import torch
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from models_zoo.cards import WEIGHTS, cards
    from models_zoo.train import Trained, save
    from models_zoo.train import train as run

    folder = out or WEIGHTS
    known = {name: card for name, card in cards().items() if "recipe" in card}
    chosen = list(names or [])
    if missing:
        chosen += [n for n in known if not list((folder / n).rglob("measured.json"))]
    if not chosen:
        raise typer.BadParameter("name the members to train, or pass --missing")
    for name in chosen:
        if name not in known:
            raise typer.BadParameter(f"no member {name!r} with a recipe; there are {', '.join(known)}")
    torch.set_num_threads(threads)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        for name in chosen:
            bar = progress.add_task(name, total=max(known[name]["recipe"]["steps"], 1))

            def report(step: int, *figures: float, name: str = name, bar: TaskID = bar) -> None:
                loss, test_loss, right, test_right = figures
                text = f"{name} loss {loss:.2e} / {test_loss:.2e}, accuracy {right:.3f} / {test_right:.3f}"
                progress.update(bar, completed=step, description=f"{text} (train / test)")

            def keep(part: Trained, name: str = name) -> None:
                save(folder / name / f"step_{part.curve[-1][0]:05d}", known[name], part)

            trained = run(known[name], report=report, keep=keep, resume=folder / name / "training.pt")
            if "keep" not in known[name]["recipe"]:
                save(folder / name, known[name], trained)
            progress.update(bar, completed=known[name]["recipe"]["steps"])  # it may have settled early


@app.command()
def calibrate(
    plugin: Annotated[str, typer.Argument(metavar="[PACKAGE:NAME]", help="A detector of yours; else ours.")] = "",
    models: Annotated[Path | None, typer.Option(help="Folder of your models, with cards.toml.")] = None,
    as_: Annotated[str, typer.Option("--as", metavar="MOTIF", help="Judge it as a detector of a motif of ours.")] = "",
    draws: Annotated[int, typer.Option(help="Models of each random family.")] = 160,
    part: Annotated[int, typer.Option(help="Only every so-manieth model, to try it out.")] = 1,
    workers: Annotated[int, typer.Option(help="Processes of one thread each.")] = 2,
    out: Annotated[Path | None, typer.Option(help="File to write; ours: the shipped one.")] = None,
    subject: Annotated[
        str,
        typer.Option(help="Only detectors of `operands`, `sequences`, `words` or `features`, the others as they were."),
    ] = "",
) -> None:
    """Score zoo, population, hostile models and random draws, set thresholds with a family left out at a time, and
    write the rates. A quarter of an hour on two cores.

    For PACKAGE:NAME the file is NAME.calibration.json, which the package ships through an entry point of the group
    detectors.calibration. Its models are those that FOLDER/cards.toml knows (see the documentation, "Calibrating your
    own"), or with --as MOTIF all those whose answer is known for a motif of ours.
    """
    from models_zoo.calibrating import of_ours, of_plugin

    if plugin:
        of_plugin(plugin, folder=models, motif=as_, draws=draws, part=part, workers=workers, out=out)
    else:
        of_ours(draws=draws, part=part, workers=workers, out=out, subject=subject)


@app.command()
def verify(
    verdicts: Annotated[
        bool, typer.Option("--verdicts", help="Run the detectors too, and hold them against the cards.")
    ] = False,
) -> None:
    """Recheck that every member is what its card says: digest, that it loads, accuracies; with --verdicts, motifs.

    Exit code 1 where one is not. A disagreement about a motif is listed by name and is a fault of the detector.
    """
    from rich.console import Console
    from rich.progress import track

    from models_zoo.cards import cards
    from models_zoo.verify import faults

    console = Console()
    found = [
        fault for name in track(cards(), description="verifying", transient=True) for fault in faults(name, verdicts)
    ]
    for fault in found:
        console.print(fault, style="red", highlight=False)
    console.print(f"{len(cards())} members, {len(found)} faults")
    raise typer.Exit(1 if found else 0)


if __name__ == "__main__":
    app(prog_name="python -m models_zoo")
