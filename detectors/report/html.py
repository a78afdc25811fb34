"""The report as one page: it works offline, reads without pictures, and is drawn by the plotly.js inside it."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from detectors.core.errors import DetectorsError
from detectors.core.picture import Picture
from detectors.core.score import Causal
from detectors.core.verdict import Verdict
from detectors.core.visible import visible
from detectors.judging.calibration import rates
from detectors.judging.detection import Detection
from detectors.report.drawing import MOST, drawing_of, pictures
from detectors.report.model import Document
from detectors.report.terminal import cause, chosen_heading, facts, keys

if TYPE_CHECKING:
    from jinja2 import Environment


MISSING = "the page needs jinja2 and plotly, which are not installed: pip install 'circuit-detectors[html]'"


class Program(Protocol):
    """Of `detectors.Program` what a page shows, besides figures by the number of terms."""

    @property
    def source(self) -> str: ...

    def picture(self) -> Picture: ...


def to_html(report: Document, program: Program | None = None) -> str:
    """One self-contained page. program: the same model as one, for a section of its own. Errors: DetectorsError where
    jinja2 or plotly, the extra `html`, is not installed.

    >>> import detectors, models_zoo
    >>> report = detectors.run(models_zoo.lookup_table("add:5", train_fraction=0.5), names=["memorisation"], draws=19)
    >>> page = to_html(report)
    >>> "memorisation" in page, "Plotly, Inc" in page
    (True, False)
    """
    drawn = [pictures(d, report) for d in report]
    page = environment().get_template("template.html.j2")
    fidelity = None if program is None else drawing_of(program.picture())
    plotly = plotly_script() if any(drawn) or fidelity else ""
    return page.render(report=report, pictures=drawn, program=program, fidelity=fidelity, plotly=plotly)


def to_notebook(report: Document) -> str:
    """The verdicts and the sentence, without pictures, scripts or colours of its own: for a notebook's cell."""
    return environment().get_template("notebook.html.j2").render(report=report)


def plotly_script() -> Any:
    """The library that draws, to stand in a page. Errors: DetectorsError where it is not installed."""
    from markupsafe import Markup

    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise DetectorsError(MISSING) from None
    return Markup(get_plotlyjs())


@cache
def environment() -> Environment:
    """Of the templates beside. Errors: DetectorsError where jinja2 is not installed."""
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError:
        raise DetectorsError(MISSING) from None
    environment = Environment(
        loader=PackageLoader("detectors.report", ""),
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,  # not what is markup already
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"typeset": typeset, "keys": keys, "cause": cause, "facts": facts, "rates": _rates}
    environment.filters |= {"chosen": chosen_heading, "evidence": _evidence, "address": _address, "sizes": _sizes}
    environment.globals |= {"verdicts": list(Verdict)}
    return environment


def typeset(formula: str) -> Any:
    """A formula of `Spec` as HTML: *italics*, _{below} and ^{above}.

    >>> str(typeset("*f*_{*k*} < *x*^{2}"))
    '<i>f</i><sub><i>k</i></sub> &lt; <i>x</i><sup>2</sup>'
    """
    from markupsafe import Markup, escape

    text = str(escape(formula))
    for mark, tag in ((r"\*([^*]+)\*", "i"), (r"_\{([^{}]*)\}", "sub"), (r"\^\{([^{}]*)\}", "sup")):
        text = re.sub(mark, rf"<{tag}>\1</{tag}>", text)
    return Markup(text)


def _address(source: str) -> str:
    """Where a source is on the net; empty where it is no paper of arXiv."""
    paper = re.fullmatch(r"arXiv:(\d{4}\.\d{4,5})", source)
    return f"https://arxiv.org/abs/{paper[1]}" if paper else ""


def _rates(d: Detection) -> str:
    """How often the verdict was right and wrong in calibration, if that is the calibration of this report."""
    if d.threshold is None:
        return "No threshold has been calibrated for this detector, so no error rates are known."
    row = rates(d.detector, d.version, d.threshold)
    if row is None:
        return f"Threshold {d.threshold:.2f}. The calibration installed here is another, so no error rates are shown."
    found, false = row["true_positives"]["verdict"], row["false_positives"]["verdict"]
    return (
        f"Threshold {d.threshold:.2f}. Found in {found['count']} of {found['of']} reference models that have it "
        f"(at least {found['low']:.1%} in truth, at 95%); called present in {false['count']} of {false['of']} that do "
        f"not (at most {false['high']:.1%})."
    )


def _sizes(causal: Causal) -> str:
    """What was removed and how sure the three figures are; what is not known is left out."""
    pairs = causal.where
    power, control_power = (_held(share) for share in (causal.power, causal.control_power))
    found = [pairs, f"motif: {causal.dimensions} dimensions{power}" if causal.dimensions else ""]
    if causal.of_loss:
        found.append("no control: random frames are one")
    elif causal.control is None:
        found.append("control: none available")
    elif causal.control_dimensions:
        spread = "" if causal.control_spread is None else f", spread {causal.control_spread:.3f} over several draws"
        found.append(f"control: {causal.control_dimensions} dimensions{control_power}{spread}")
    chance = "of a loss as low" if causal.of_loss else "that the motif matters no more (McNemar)"
    found.append("" if causal.p_value is None else f"p {causal.p_value:.2g} {chance}")
    return "; ".join(part for part in found if part)


def _held(share: float | None) -> str:
    return "" if share is None else f" with {share:.1%} of the variance"


def _evidence(d: Detection) -> tuple[list[dict[str, str]], list[tuple[str, str]]]:
    """Rows of the lists that the detector declares parallel, and what is left as names and values."""
    evidence = d.evidence
    for key, records in evidence.items():  # of heads or clusters, a table of its own
        if isinstance(records, list) and records and all(isinstance(one, dict) for one in records):
            names = dict.fromkeys(str(k) for one in records for k in one)
            table = [{name: _shown(one.get(name, "")) for name in names} for one in records[:MOST]]
            return table, [(str(k), _shown(v)) for k, v in evidence.items() if k != key]
    columns = [k for k in (d.spec.parallel if d.spec else ()) if isinstance(evidence.get(k), list)]
    lengths = {len(evidence[k]) for k in columns}
    length = lengths.pop() if len(lengths) == 1 else 0  # a report from elsewhere may not keep what is declared here
    rows = [{k: _shown(evidence[k][i]) for k in columns} for i in range(min(length, MOST))]
    if length > MOST and rows:
        rows.append(dict.fromkeys(columns, "…"))
    return rows, [(str(k), _shown(v)) for k, v in evidence.items() if not rows or k not in columns]


def _runs(numbers: list[int]) -> list[str]:
    """Numbers that follow each other as one.

    >>> _runs([2, 3, 4, 9])
    ['2 to 4', '9']
    """
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return [f"{run[0]} to {run[-1]}" if len(run) > 1 else str(run[0]) for run in found]


def _shown(value: Any, most: int = 24) -> str:
    """A value as text, long ones cut with their length."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list) and len(value) > 2 and all(type(v) is int for v in value):
        runs = _runs(value)
        if len(runs) <= len(value) // 2:
            return ", ".join(runs)
    if isinstance(value, list):
        inside = ", ".join(f"({_shown(v, 6)})" if isinstance(v, list) else _shown(v, 6) for v in value[:most])
        return f"{inside}, … ({len(value)} in all)" if len(value) > most else inside or "none"
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    return text if len(text) <= 400 else f"{text[:400]}… ({len(text)} characters)"
