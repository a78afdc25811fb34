"""`detectors inspect`: what is in a file and how it is read, without scoring it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from detectors.cli import options as o
from detectors.core.visible import visible, visible_lines

if TYPE_CHECKING:
    from rich.console import Console

LOADER = "Write a loader to fill in, with the tensors of the file in its comments."


def inspect(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help="A file or folder.", show_default=False)],
    task: o.Task = None,
    train_indices: o.TrainIndices = None,
    train_split: o.TrainSplit = None,
    step: o.Step = None,
    tokens: o.Tokens = None,
    arch: o.Arch = None,
    emit_loader: Annotated[Path | None, o.option("--emit-loader", metavar="FILE.py", help=LOADER)] = None,
) -> None:
    """Show what is in a checkpoint, how each part is read and why, and what would settle what is open.

    detectors inspect model.pt --task add:97

    With a task the readings that shapes leave open are tried on the model, as `run` does; nothing is scored.
    """
    from rich.console import Console
    from rich.text import Text

    import detectors
    from detectors.report.files import write_text

    o.check_folders(**{"emit-loader": emit_loader})
    options: dict[str, Any] = {"train_indices": train_indices, "train_split": train_split, "step": step}
    console = Console()
    found = detectors.inspect(checkpoint, task=task, tokens=tokens, arch=o.arch_options(arch), **options)
    _print(console, found)
    if emit_loader is not None:
        write_text(emit_loader, found.loader(str(emit_loader), task))
        console.print(Text(visible(f"written: {emit_loader}"), style="dim"))


def _print(console: Console, found: Any) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("tensor", "shape", "numbers", ""):
        table.add_column(heading, no_wrap=heading != "tensor")
    for name, shape, kind in found.tensors:
        table.add_row(
            Text(visible(name)),
            str(list(shape)),
            kind,
            Text("not used" if name in found.unused else "", style="yellow"),
        )
    console.print(table)
    console.print()
    if found.layout is None:
        console.print(
            Text(visible_lines(f"not read: {found.why or 'no structure fits these shapes'}"), style="red"),
            soft_wrap=True,
        )
    else:
        console.print(Text(visible(f"read as: {found.layout}"), style="bold"), soft_wrap=True)
    for sentence in found.reading:
        console.print(Text(f"  {visible(sentence)}"), soft_wrap=True)
    for note in found.notes:
        console.print(Text(visible(f"Note: {note}"), style="yellow"), soft_wrap=True)
    if found.settles:
        console.print(Text(visible(f"would settle what is open: {', or '.join(found.settles)}")), soft_wrap=True)
    if found.architecture is None and not found.why:
        sizes = ", ".join(map(str, found.sizes))
        likely = f"the shapes allow {sizes} operands; " if sizes else ""
        console.print(Text(f"{likely}pass --task, e.g. --task {found.example}, to try the readings"))
