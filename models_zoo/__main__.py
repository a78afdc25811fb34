"""`python -m models_zoo`: the reference models, listed and trained again from their cards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, rich_markup_mode=None)


@app.command("list")
def list_() -> None:
    """Show the members and what they are."""
    from rich.console import Console
    from rich.table import Table

    from models_zoo.train import WEIGHTS, cards

    table = Table("member", "task", "steps", "weights", "what it is")
    for name, card in cards().items():
        shipped = "shipped" if (WEIGHTS / name / "model.safetensors").exists() else "train it"
        table.add_row(name, card["task"], str(card["recipe"]["steps"]), shipped, card["about"])
    Console().print(table)


@app.command()
def train(
    name: Annotated[str, typer.Argument(help="A member, as `list` shows it.")],
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default the member's own.")] = None,
    threads: Annotated[int, typer.Option(help="torch threads; the bytes depend on it.")] = 1,
) -> None:
    """Train a member from its recipe and write config.json and model.safetensors."""
    import torch
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    from models_zoo.train import WEIGHTS, cards, save
    from models_zoo.train import train as run

    known = cards()
    if name not in known:
        raise typer.BadParameter(f"no member {name!r}; there are {', '.join(known)}")
    torch.set_num_threads(threads)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns) as progress:
        bar = progress.add_task(name, total=max(known[name]["recipe"]["steps"], 1))

        def report(step: int, train_loss: float, test_loss: float, train_acc: float, test_acc: float) -> None:
            figures = f"loss {train_loss:.2e} / {test_loss:.2e}, accuracy {train_acc:.3f} / {test_acc:.3f}"
            text = f"{name} {figures} (train / test)"
            progress.update(bar, completed=step, description=text)

        folder = out or WEIGHTS / name
        trained = run(known[name], report=report, resume=folder / "training.pt")
    save(folder, known[name], trained)
    step, train_loss, test_loss = trained.losses[-1]
    typer.echo(f"{name}: {step} steps, train loss {train_loss:.3e}, test loss {test_loss:.3e}")


if __name__ == "__main__":
    app(prog_name="python -m models_zoo")
