"""`detectors explain`: which algorithm it is, in words, and as a program."""

from __future__ import annotations

import json as js
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from detectors.cli import options as o

PROGRAM = "Write the circuit as a program of at most 60 lines that needs NumPy alone, with the fitted numbers in it."


def explain(
    checkpoint: Annotated[str, typer.Argument(metavar="CKPT", help="A file or folder.", show_default=False)],
    task: o.Task = None,
    program: Annotated[Path | None, o.option("--program", metavar="FILE.py", help=PROGRAM)] = None,
    train_indices: o.TrainIndices = None,
    train_split: o.TrainSplit = None,
    step: o.Step = None,
    text: o.Text = None,
    tokens: o.Tokens = None,
    arch: o.Arch = None,
    loader: o.Loader = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    json: Annotated[Path | None, o.option(help="Write what is said, and the program, as JSON; - for stdout.")] = None,
    html: Annotated[Path | None, o.option(help="Write the report's page, with the program and its fidelity.")] = None,
    threads: o.Threads = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress and nothing on the terminal.")] = False,
) -> None:
    """Say which algorithm a checkpoint runs, and write it as a program.

    detectors explain model.pt --task add:113 --program algorithm.py

    The program is held against the model on pairs that its numbers were not fitted to. Where there is no circuit to
    write, as in a lookup table, nothing is written and it is said why (exit code 2).
    """
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from detectors.core.visible import visible
    from detectors.report.explained import of_report, page
    from detectors.report.files import write_text
    from detectors.report.html import to_html

    o.check_folders(program=program, json=json, html=html)
    options: dict[str, Any] = {"task": task, "train_indices": train_indices, "train_split": train_split}
    options |= {"loader": loader, "arch": o.arch_options(arch), "tokens": tokens, "step": step, "text": text}
    console = Console(quiet=quiet or str(json) == "-")
    wanted = program is not None or html is not None
    report, made, refused = _explained(checkpoint, options, wanted, seed, threads, quiet)
    console.print(page(report))
    if made is not None:
        console.print(Padding(Text(_found(made)), (1, 0, 0, 0)))
    if program is not None and made is not None:
        write_text(program, made.source)
        console.print(Text(visible(f"written: {program}"), style="dim"))
    if json is not None:
        said = {"summary": report.summary, "explanation": of_report(report).model_dump(mode="json")}
        _write_json(json, said | {"program": None if made is None else made.to_dict()})
    if html is not None:
        write_text(html, to_html(report, made))
    if refused and program is not None:
        o.complain(refused)
        raise typer.Exit(2)


def _explained(
    path: str, options: dict[str, Any], wanted: bool, seed: int, threads: int | None, quiet: bool
) -> tuple[Any, Any, str]:
    """The report; the program, if one is wanted and there is one; and why there is none."""
    import detectors

    def both(model: Any, progress: o.Progress) -> tuple[Any, Any, str]:
        report = detectors.run(model, seed=seed, progress=progress)
        if model.kind == "operands":
            progress("certificate", 0, 1)
            report = detectors.with_certificate(report, model, seed=seed)
        try:
            return report, detectors.program_of(model, seed=seed) if wanted else None, ""
        except detectors.DetectorsError as error:
            return report, None, str(error)

    found: tuple[Any, Any, str] = o.asked(path, options, both, threads=threads, quiet=quiet)
    return found


def _found(made: Any) -> str:
    own, null = made.fidelity, max(draw.agreement for draw in made.null)
    return (
        f"A program of {len(made.irreps)} terms gives {own.agreement:.2%} of the model's answers and "
        f"{own.explained:.1%} of its logits (KL divergence {own.kl:.2g} nats), on {own.pairs} pairs that it was not "
        f"fitted on; one fitted to renamed tokens gives {null:.2%} of the answers at best."
    )


def _write_json(target: Path, document: dict[str, Any]) -> None:
    from detectors.report.files import write_text

    text = js.dumps(document, indent=2) + "\n"
    if str(target) == "-":
        sys.stdout.write(text)
    else:
        write_text(target, text)
