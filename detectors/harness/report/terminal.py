"""The report as a person reads it in a terminal."""

from __future__ import annotations

import io

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from detectors.harness.report.model import BySplit, Detection, Report

STYLE = {
    "present": ("green", "present"),
    "inert": ("yellow", "inert"),
    "absent": ("dim", "absent"),
    "inconclusive": ("yellow", "inconclusive"),
    "not_applicable": ("dim", "n/a"),
    "error": ("bold red", "error"),
}
CAUSE = ("cut", "keep", "ctrl")
EXPLAINED = ("inert", "inconclusive", "not_applicable", "error")  # verdicts whose reason is worth a line


def print_report(report: Report, console: Console) -> None:
    """Model, task and accuracy; a line a detector; a sentence."""
    console.print(render(report))


def as_text(report: Report, width: int = 100) -> str:
    """The report as plain text."""
    stream = io.StringIO()
    Console(width=width, color_system=None, file=stream).print(render(report))
    return stream.getvalue().rstrip()


def render(report: Report) -> RenderableType:
    parts: list[RenderableType] = [_heading(report), Padding(_table(report), (1, 0))]
    reasons: dict[tuple[str, str], list[str]] = {}
    for d in report:
        if d.verdict in EXPLAINED:
            reasons.setdefault((d.verdict, d.reason), []).append(d.detector)
    for (verdict, reason), names in reasons.items():
        parts.append(Text(f"{', '.join(names)}: {reason}", style=STYLE[verdict][0]))
    parts.append(Padding(Text(report.summary, style="bold"), (1 if len(parts) > 2 else 0, 0, 0, 0)))
    parts += [Text(f"Note: {note}", style="yellow") for note in report.notes]
    if any(any(cause(d)) for d in report):
        parts.append(
            Text(
                "cut, keep, ctrl: of the pairs answered right, those still right with the motif's subspace removed, "
                "with it alone, and with a random one of its size removed.",
                style="dim",
            )
        )
    if report.calibration == "stale":
        parts.append(Text("The calibration is of another zoo than the one installed: verdicts are off.", style="red"))
    return Group(*parts)


def _heading(report: Report) -> Table:
    table = Table.grid(padding=(0, 2))
    for name, text in facts(report):
        table.add_row(Text(name, style="dim"), Text(text, style="bold" if name == "model" else "", overflow="fold"))
    return table


def facts(report: Report) -> list[tuple[str, str]]:
    """What was scored, a line each; a line without a name goes with the one before."""
    a, task = report.checkpoint.architecture, report.task
    size = ", ".join(f"{k} {a[k]}" for k in ("n_layers", "d_model", "d_mlp") if k in a)
    more = [f"{k} {a[k]}" for k in ("act_fn", "normalization_type", "attn_coeff") if k in a]
    if a.get("kind") == "transformer" and "attn_coeff" not in a:
        more.append("softmax attention")
    group = f"{task.group}, order {task.order}" if task.group else "no group"
    unused = report.checkpoint.unused_tensors
    what = f"({group}), {task.pairs} pairs" if task.pairs else f"of sequences, {task.n_tokens} tokens"
    lines = [
        ("model", report.checkpoint.path),
        ("", f"{report.checkpoint.layout}; {size}; {', '.join(more)}"),
        ("", f"not used: {_some(unused)}" if unused else ""),
        ("task", f"{task.spec} {what}"),
        ("", task.note),
        ("accuracy", _split(report.accuracy, ".4f", task.pairs)),
        ("loss", _split(report.loss, ".2e", task.pairs)),
    ]
    return [(name, text) for name, text in lines if text]


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _split(figure: BySplit, form: str, pairs: int) -> str:
    if not pairs:
        return f"{figure.all:{form}}"
    if figure.train is None or figure.test is None:
        return f"{figure.all:{form}} on all pairs; the training pairs are unknown"
    return f"train {figure.train:{form}}   test {figure.test:{form}}   all {figure.all:{form}}"


def _table(report: Report) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("detector", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("score", justify="right")
    table.add_column("p", justify="right")
    for heading in CAUSE:
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("key irreps", overflow="fold", ratio=1)
    for detection in report:
        style, word = STYLE[detection.verdict]
        table.add_row(
            detection.detector,
            Text(word, style=style),
            "" if detection.score is None else f"{detection.score:.3f}",
            "" if detection.p_adjusted is None else f"{detection.p_adjusted:.3f}",
            *cause(detection),
            "" if detection.verdict == "absent" else keys(detection),
        )
    return table


def cause(detection: Detection) -> tuple[str, ...]:
    """Accuracy that is left, of the pairs answered right; nothing where there is no structure to have a cause."""
    cause = detection.causal
    if cause is None or detection.verdict == "absent":
        return ("",) * len(CAUSE)
    control = "-" if cause.control is None else f"{1 - cause.control:.0%}"
    return f"{1 - cause.necessity:.0%}", f"{cause.sufficiency:.0%}", control


def keys(detection: Detection, most: int = 8) -> str:
    """Its key irreps, strongest first, of a frequency the number alone."""
    names = [str(k).removeprefix("freq_") for k in detection.evidence.get("key_irreps", [])]
    return " ".join(names[:most]) + (f" +{len(names) - most}" if len(names) > most else "")
