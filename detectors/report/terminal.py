"""The report as a person reads it in a terminal."""

from __future__ import annotations

import io

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from detectors.core.figures import BySplit, Counts
from detectors.core.verdict import Verdict
from detectors.core.visible import visible
from detectors.judging.detection import Detection
from detectors.judging.summary import FEW
from detectors.report.model import Document

LEGEND = (
    "cut, keep, ctrl: of the right answers, those still right with the motif removed, with it alone, and with "
    "something else removed in its stead."
)
LEGEND_LOSS = (
    "cut: the loss, as a share of that with the features in random directions; keep: the share of the gain that the "
    "motif keeps, made exact and everything else random."
)
STALE = "The calibration is of another zoo than the one installed: verdicts are off."


def as_text(report: Document, width: int = 100) -> str:
    """The report as plain text."""
    stream = io.StringIO()
    Console(width=width, color_system=None, file=stream).print(render(report))
    return stream.getvalue().rstrip()


def render(report: Document) -> RenderableType:
    """Model, task and accuracy; a line a detector; a sentence."""
    heading = Table.grid(padding=(0, 2))
    for name, text in facts(report):
        style = "bold" if name == "model" else ""
        heading.add_row(Text(name, style="dim"), Text(visible(text), style=style, overflow="fold"))
    reasons: dict[tuple[Verdict, str], list[str]] = {}
    for d in report:
        if not d.verdict.unexplained:
            reasons.setdefault((d.verdict, d.reason), []).append(d.detector)
    lines = [
        Text(visible(f"{', '.join(names)}: {reason}"), style=verdict.style)
        for (verdict, reason), names in reasons.items()
    ]
    notes = [Text(visible(f"Note: {note}"), style="yellow") for note in report.notes]
    shown = {d.causal.of_loss for d in report if d.causal is not None and any(cause(d))}
    notes += [Text(LEGEND_LOSS if of_loss else LEGEND, style="dim") for of_loss in sorted(shown)]
    notes += [Text(STALE, style="red")] if report.calibration == "stale" else []
    summary = Padding(Text(visible(report.summary), style="bold"), (1 if lines else 0, 0, 0, 0))
    return Group(heading, Padding(_table(report), (1, 0)), *lines, summary, *notes)


def facts(report: Document) -> list[tuple[str, str]]:
    """What was scored, a line each; a line without a name goes with the one before."""
    a, task, unused = report.checkpoint.architecture, report.task, report.checkpoint.unused_tensors
    size = ", ".join(f"{k} {a[k]}" for k in ("n_layers", "d_model", "d_mlp") if k in a)
    more = [f"{k} {a[k]}" for k in ("act_fn", "normalization_type", "attn_coeff") if k in a]
    if a.get("kind") == "transformer" and "attn_coeff" not in a:
        more.append("softmax attention")
    scaled = a.get("logit_factor") == "unknown"
    others = f" and {len(unused) - 4} more" if len(unused) > 4 else ""
    lines = [
        ("model", report.checkpoint.path),
        ("", "; ".join(filter(None, (report.checkpoint.layout, size, ", ".join(more))))),
        ("", f"not used: {', '.join(unused[:4])}{others}" if unused else ""),
        *((("read", "")[i > 0], sentence) for i, sentence in enumerate(report.checkpoint.reading)),
        ("task", f"{task.spec} {task.about}"),
        ("", task.note),
        ("accuracy", _split(report.accuracy, ".4f", report)),
        ("", _echoes(report.pairs)),
        ("loss", _split(report.loss, ".2e", report) + ("; of logits whose factor is unknown" if scaled else "")),
        ("exceptions", exceptions(report)),
    ]
    return [(name, text) for name, text in lines if text]


def _split(figure: BySplit, form: str, report: Document) -> str:
    if figure.all is None:
        return ""
    if report.task.split == "fresh":
        return f"{figure.all:{form}}"
    if figure.train is None or figure.test is None:
        return f"{figure.all:{form}} on all pairs; the training pairs are unknown"
    echoes = report.pairs.echoed and figure.unseen is not None  # without them test pairs are the unseen ones
    unseen = f"unseen {figure.unseen:{form}}   " if echoes else ""
    return f"train {figure.train:{form}}   test {figure.test:{form}}   {unseen}all {figure.all:{form}}"


def _echoes(pairs: Counts) -> str:
    """Of what the test pairs consist, where some are the flip (b, a) of a training pair."""
    if not pairs.echoed or pairs.train is None:
        return ""
    echoed = f"{pairs.echoed} are flips or images of training pairs"
    return f"of {pairs.all - pairs.train} test pairs {echoed}, {pairs.unseen} unseen"


def exceptions(report: Document, most: int = 6) -> str:
    """Pairs that are answered otherwise than by the circuit, where there is one and they are few."""
    evidence = next((d.evidence for d in report if d.verdict is Verdict.PRESENT and d.evidence.get("exceptions")), {})
    count, pairs = evidence.get("exceptions", 0), evidence.get("exception_pairs") or []
    if not count or count > FEW * report.pairs.all:
        return ""
    named = [f"({a}, {b}) to {given} for {expected}" for a, b, given, expected in pairs[:most]]
    more = f" and {count - len(named)} more" if count > len(named) else ""
    return f"{count} answered otherwise than by the circuit: {', '.join(named)}{more}"


def _table(report: Document) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    for name in ("detector", "verdict", "score", "p", "cut", "keep", "ctrl"):
        words = name in ("detector", "verdict")
        table.add_column(name, justify="left" if words else "right", no_wrap=name not in ("score", "p"))
    table.add_column(Text(visible(chosen_heading(report))), overflow="fold", ratio=1)
    for d in report:
        score, p = ("" if x is None else f"{x:.3f}" for x in (d.score, d.p_adjusted))
        chosen = "" if d.verdict is Verdict.ABSENT else keys(d)
        named, said = Text(visible(d.detector)), Text(d.verdict.short, style=d.verdict.style)
        table.add_row(named, said, score, p, *cause(d), Text(visible(chosen)))
    return table


def cause(d: Detection) -> tuple[str, str, str]:
    """Accuracy that is left, of the pairs answered right; nothing where there is no structure to have a cause."""
    if d.causal is None or d.verdict is Verdict.ABSENT:
        return "", "", ""
    control = "-" if d.causal.control is None else f"{1 - d.causal.control:.0%}"
    kept = "-" if d.causal.sufficiency is None else f"{d.causal.sufficiency:.0%}"
    return f"{1 - d.causal.necessity:.0%}", kept, control


def chosen_heading(report: Document) -> str:
    """What the detectors of a report chose: `key irreps`, `heads`, or both."""
    chose = dict.fromkeys(d.chose.replace("_", " ") for d in report if d.chose)
    return ", ".join(chose) or "chosen"


def keys(detection: Detection, most: int = 8) -> str:
    """What it chose, strongest first, of a frequency the number alone."""
    names = [name.removeprefix("freq_") for name in detection.chosen]
    between = ", " if any(" " in name for name in names) else " "
    return between.join(names[:most]) + (f" +{len(names) - most}" if len(names) > most else "")
