"""A report written down by hand, so that a condition is held against figures that are known."""

import json

import pytest

from detectors.core.verdict import Verdict
from detectors.gate import apart
from detectors.report.model import CheckpointInfo
from detectors.report.report import Report
from tests.judging.conftest import detection, figures, task


def report_of(*detections, of="add:7", accuracy=None):
    shown = figures(**accuracy or {})
    checkpoint = CheckpointInfo(path="m.pt", sha256=None, layout="by hand", architecture={}, unused_tensors=[])
    return Report(
        tool={},
        checkpoint=checkpoint,
        task=task(of),
        accuracy=shown.accuracy,
        loss=shown.loss,
        pairs=shown.cases,
        calibration="calibrated",
        summary="It is made up.",
        notes=[],
        detections=list(detections),
    )


@pytest.fixture
def here(monkeypatch):
    """Gates score in this process, where torch is already imported; the processes have tests of their own."""

    def score(path, options, *, draws, seed, threads=1, page=False, certify=False, **_):
        options = {key: value if isinstance(value, dict) else str(value) for key, value in options.items()}
        asked = {"path": path, "options": options, "draws": draws, "seed": seed, "threads": threads, "page": page}
        asked["certify"] = certify
        return apart._checked(apart._score(json.loads(json.dumps(asked)), lambda *_: None))

    monkeypatch.setattr(apart, "score_apart", score)


@pytest.fixture
def made():
    """(report, detection): makers."""
    return report_of, detection


@pytest.fixture
def plain():
    """Two detectors: one that a release is better with, one that it is better without."""
    return report_of(
        detection(
            "trig_logits", Verdict.PRESENT, score=0.6, p_value=0.005, p_adjusted=0.025, necessity=0.75, threshold=0.1
        ),
        detection("memorisation", Verdict.ABSENT, score=0.1, threshold=0.2),
    )
