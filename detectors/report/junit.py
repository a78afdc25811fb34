"""JUnit XML of a report or of a gate, as CI systems read it (pytest's xunit2 family)."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence

from detectors.core.verdict import Verdict
from detectors.core.visible import visible
from detectors.report.model import Document, Outcome


def to_junit(reports: Sequence[Document], outcomes: Sequence[Outcome] | None = None) -> str:
    """One suite a report and one case a detector; with outcomes, one case a condition of the gate.

    A verdict is no failure by itself: a crashed detector is an `error`, what is inconclusive or not applicable is
    `skipped`. Under a gate a condition that does not hold is a `failure`.
    """
    root = ET.Element("testsuites")
    for report in reports:
        suite = ET.SubElement(root, "testsuite", name=visible(report.checkpoint.path))
        for d in report if outcomes is None else ():
            case = _case(suite, d.detector, d.verdict, f"{d.seconds:.3f}", d.figures)
            if not d.verdict.settled:
                ET.SubElement(case, "error" if d.verdict is Verdict.ERROR else "skipped", message=visible(d.reason))
        for o in outcomes or ():
            case = _case(suite, o.detector or "gate", o.id, "0", o.properties)
            if not o.passed:
                ET.SubElement(case, "failure", type="Breach", message=visible(o.sentence))
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped"), ("tests", ".")):
            suite.set(attribute, str(len(suite.findall(f"testcase/{tag}"))))
        suite.set("time", f"{sum(d.seconds for d in report):.3f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case(suite: ET.Element, classname: str, name: str, time: str, figures: Mapping[str, object]) -> ET.Element:
    case = ET.SubElement(suite, "testcase", classname=visible(f"detectors.{classname}"), name=visible(name), time=time)
    properties = ET.SubElement(case, "properties")
    for key, value in figures.items():
        if value is not None:
            ET.SubElement(properties, "property", name=visible(key), value=visible(value))
    return case
