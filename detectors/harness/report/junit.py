"""JUnit XML of a report or of a gate, as CI systems read it (pytest's xunit2 family)."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence

from detectors.harness.gate import Outcome
from detectors.harness.report.model import Detection, Report

# everything that XML 1.0 cannot hold, even escaped (section 2.2)
_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def legal(text: object) -> str:
    """Text without the characters that XML cannot hold.

    >>> legal("a\\x00b\\x1b[0m")
    'a?b?[0m'
    """
    return _ILLEGAL.sub("?", str(text))


def to_junit(reports: Sequence[Report], outcomes: Sequence[Outcome] | None = None) -> str:
    """One suite a report and one case a detector; with outcomes, one case a condition of the gate.

    A verdict is no failure by itself: a crashed detector is an `error`, what is inconclusive or not applicable is
    `skipped`. Under a gate a condition that does not hold is a `failure`.
    """
    root = ET.Element("testsuites")
    for report in reports:
        suite = ET.SubElement(root, "testsuite", name=legal(report.checkpoint.path))
        if outcomes is None:
            cases = [_case_of_detection(suite, d) for d in report]
        else:
            cases = [_case_of_outcome(suite, o) for o in outcomes]
        for attribute, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            suite.set(attribute, str(sum(case.find(tag) is not None for case in cases)))
        suite.set("tests", str(len(cases)))
        suite.set("time", f"{sum(d.seconds for d in report):.3f}")
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _case_of_detection(suite: ET.Element, detection: Detection) -> ET.Element:
    figures = {k: getattr(detection, k) for k in ("verdict", "score", "threshold", "p_value", "p_adjusted")}
    case = _case(suite, detection.detector, detection.verdict, f"{detection.seconds:.3f}", figures)
    if detection.verdict == "error":
        ET.SubElement(case, "error", message=legal(detection.reason))
    elif detection.verdict in ("inconclusive", "not_applicable"):
        ET.SubElement(case, "skipped", message=legal(detection.reason))
    return case


def _case_of_outcome(suite: ET.Element, outcome: Outcome) -> ET.Element:
    case = _case(suite, outcome.detector or "gate", outcome.id, "0", outcome.properties)
    if not outcome.passed:
        ET.SubElement(case, "failure", type="Breach", message=legal(outcome.sentence))
    return case


def _case(suite: ET.Element, classname: str, name: str, time: str, figures: dict[str, object]) -> ET.Element:
    case = ET.SubElement(suite, "testcase", classname=legal(f"detectors.{classname}"), name=legal(name), time=time)
    properties = ET.SubElement(case, "properties")
    for key, value in figures.items():
        if value is not None:
            ET.SubElement(properties, "property", name=legal(key), value=legal(value))
    return case
