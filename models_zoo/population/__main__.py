"""Train what is missing of the population, in order; an interrupted run goes on where it was. Two hours on one thread.

`python -m models_zoo.population [--workers N] [--commit N]`: --commit N makes a commit of every N networks that finish.
"""

from __future__ import annotations

import subprocess
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Annotated

import typer

from models_zoo.population.stored import WEIGHTS, missing, train


def main(
    workers: Annotated[int, typer.Option(help="Processes of one thread each.")] = 2,
    commit: Annotated[int, typer.Option(help="Commit after so many; 0: never.")] = 0,
) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    numbers = missing()
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with (
        Progress(*columns, console=Console(stderr=True)) as progress,
        ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool,
    ):
        bar = progress.add_task("", total=len(numbers))
        for done, future in enumerate(as_completed(pool.submit(train, number) for number in numbers), start=1):
            typer.echo(future.result())
            progress.update(bar, completed=done)
            if commit and (done % commit == 0 or done == len(numbers)):
                _commit()


def _commit() -> None:
    """Of the weights alone, whatever else is staged."""
    subprocess.run(["git", "add", WEIGHTS], check=False)
    subprocess.run(["git", "commit", "-q", "-m", "Population: networks as they finish", "--", WEIGHTS], check=False)


if __name__ == "__main__":
    typer.run(main)
