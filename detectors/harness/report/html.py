"""The report as one page: it works offline, reads without pictures, and is drawn by the plotly.js inside it."""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from detectors.core import registry
from detectors.harness.report.drawing import plain
from detectors.harness.report.figures import MOST, pictures
from detectors.harness.report.model import Detection, Report
from detectors.harness.report.terminal import cause, facts, keys
from detectors.harness.verdict import calibration

if TYPE_CHECKING:
    from jinja2 import Environment

# a sign beside the word, so that a verdict is not told by its colour alone; and what it means
VERDICTS = {
    "present": ("●", "the structure is there, beyond chance, and the model uses it"),
    "inert": ("◐", "the structure is there, and removing it changes nothing"),
    "absent": ("○", "the structure is not there, or not beyond chance"),
    "inconclusive": ("?", "it cannot be said; the reason tells what would settle it"),
    "not_applicable": ("\N{EN DASH}", "the question makes no sense for this model or task"),
    "error": ("✕", "the detector crashed"),
}
PARALLEL = ("irreps", "dimensions", "neurons_per_irrep", "power", "similarity", "key_cuts")


def to_html(report: Report, model: object = None) -> str:
    """One self-contained page. model: the view that was scored, for pictures of its neurons; the report's own if None.

    >>> import detectors, models_zoo
    >>> report = detectors.run(models_zoo.lookup_table("add:5", train_fraction=0.5), names=["memorisation"], draws=19)
    >>> page = to_html(report)
    >>> "memorisation" in page, "Plotly, Inc" in page
    (True, False)
    """
    from markupsafe import Markup
    from plotly.offline import get_plotlyjs

    view = report._model if model is None else model
    sections = [_section(number, d, report, view) for number, d in enumerate(report, start=1)]
    drawn = any(s["pictures"] for s in sections)
    page = _environment().get_template("template.html.j2")
    return page.render(
        report=report,
        facts=facts(report),
        sections=sections,
        verdicts=VERDICTS,
        plotly=Markup(get_plotlyjs()) if drawn else "",
    )


def to_notebook(report: Report) -> str:
    """The verdicts and the sentence, without pictures, scripts or colours of its own: for a notebook's cell."""
    sections = [{"detection": d, "sign": VERDICTS[d.verdict][0], "keys": keys(d)} for d in report]
    return _environment().get_template("notebook.html.j2").render(report=report, sections=sections)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    def source(name: str) -> str:
        return files("detectors.harness.report").joinpath(name).read_text(encoding="utf-8")

    return Environment(
        loader=FunctionLoader(source),
        autoescape=True,
        finalize=lambda value: plain(value) if type(value) is str else value,  # not what is markup already
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _section(number: int, d: Detection, report: Report, model: object) -> dict[str, Any]:
    """All that the page says of one detection."""
    summary, source, where = _about(d.detector)
    table, rest = _evidence(d.evidence)
    return {
        "id": f"detector-{number}",
        "detection": d,
        "sign": VERDICTS[d.verdict][0],
        "keys": keys(d),
        "cause": cause(d),
        "summary": summary,
        "source": source,
        "where": where,
        "rates": _rates(d),
        "pictures": pictures(d, report, model),
        "table": table,
        "evidence": rest,
        "known": d.detector in registry.BUILTIN,
    }


def _about(name: str) -> tuple[str, str, str]:
    """What a detector looks for, its source, and where that is on the net; empty where it is not installed here."""
    try:
        spec = registry.spec_of(registry.load(name))
    except Exception:  # a report may come from elsewhere, and a plugin may be broken
        return "", "", ""
    match = re.fullmatch(r"arXiv:(\d{4}\.\d{4,5})", spec.source)
    return spec.summary, spec.source, f"https://arxiv.org/abs/{match[1]}" if match else ""


def _rates(d: Detection) -> str:
    """How often the verdict was right and wrong in calibration, if that is the calibration of this report."""
    row = calibration()["rows"].get(d.detector)
    if d.threshold is None or row is None:
        return "No threshold has been calibrated for this detector, so no error rates are known."
    if row["version"] != d.version or row["threshold"] != d.threshold:
        return f"Threshold {d.threshold:.2f}. The calibration installed here is another, so no error rates are shown."
    found, false = row["true_positives"]["verdict"], row["false_positives"]["verdict"]
    return (
        f"Threshold {d.threshold:.2f}. Found in {found['count']} of {found['of']} reference models that have it "
        f"(at least {found['low']:.1%} in truth, at 95%); called present in {false['count']} of {false['of']} that do "
        f"not (at most {false['high']:.1%})."
    )


def _evidence(evidence: dict[str, Any]) -> tuple[list[dict[str, str]], list[tuple[str, str]]]:
    """Rows of what is parallel to the irreps, and what is left as names and values."""
    irreps = evidence.get("irreps")
    columns = [k for k in PARALLEL if irreps and isinstance(evidence.get(k), list) and len(evidence[k]) == len(irreps)]
    rows = (
        [{k: _shown(evidence[k][i]) for k in columns} for i in range(min(len(irreps or []), MOST))] if columns else []
    )
    if irreps and len(irreps) > MOST:
        rows.append(dict.fromkeys(columns, "…"))
    return rows, [(str(k), _shown(v)) for k, v in evidence.items() if k not in columns]


def _shown(value: Any, most: int = 24) -> str:
    """A value as text, long ones cut with their length."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        inside = ", ".join(_shown(v, 6) for v in value[:most])
        return f"{inside}, … ({len(value)} in all)" if len(value) > most else inside or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 400 else f"{text[:400]}… ({len(text)} characters)"
