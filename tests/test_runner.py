"""What `detectors.run` gives: a line a detector whatever becomes of it, doubts, and plain data."""

import json

import numpy as np
import pytest
import torch

import detectors
from detectors.core import registry
from detectors.core.registry import builtin
from models_zoo.architectures import initial_weights

MLP = {"kind": "mlp", "n_tokens": 13, "d_model": 4, "d_mlp": 8, "d_vocab_out": 13}


@pytest.fixture
def untrained(saved):
    return saved(initial_weights(MLP, 0), "untrained.pt")


def test_a_detector_that_returns_no_score_is_an_error_line(untrained, monkeypatch):
    @detectors.detector(needs=("logits",), version=1, source="none")
    def trig_logits(model, /, *, draws=1, seed=0):
        return 0.5

    real = registry.load
    monkeypatch.setattr(registry, "load", lambda name: trig_logits if name == "trig_logits" else real(name))
    report = detectors.run(detectors.load(untrained, task="add:13"), draws=19)
    assert report["trig_logits"].verdict == "error"
    assert "returned float" in report["trig_logits"].reason
    assert report["trig_product_neurons"].verdict == "absent"


def test_a_report_prints_as_the_command_does(untrained):
    report = detectors.run(detectors.load(untrained, task="add:13"), draws=19)
    assert "trig_logits" in str(report)
    assert report.summary[:40] in str(report)


def test_a_split_that_cannot_be_right_is_doubted():
    report = detectors.run(detectors.load("zoo:add53_memorised", train_split="0.3:7"), draws=19)
    assert any("are these the pairs" in note for note in report.notes)
    assert "the training pairs given cannot be right" in report.summary
    assert "by a generalising circuit" not in report.summary
    assert detectors.run(detectors.load("zoo:add53_memorised"), draws=19).notes == []
    assert detectors.run(detectors.load("zoo:add53_untrained"), draws=19).notes == []


def test_a_task_that_cannot_be_right_is_doubted():
    report = detectors.run(detectors.load("zoo:add53_grokked", task="mul:53"), draws=19)
    assert any("confident and wrong" in note and "--task infer" in note for note in report.notes)
    inferred = detectors.run(detectors.load("zoo:add53_memorised", task="infer"), draws=19)
    assert "every pair" not in inferred.summary
    assert any("against themselves" in note for note in inferred.notes)


def test_reports_can_be_indexed_and_iterated(untrained):
    report = detectors.run(detectors.load(untrained, task="add:13"), names=["trig_logits", "memorisation"], draws=19)
    assert len(report) == 2
    assert report[0] is report["trig_logits"]
    assert [d.detector for d in report] == ["trig_logits", "memorisation"]
    with pytest.raises(KeyError, match="it has trig_logits, memorisation"):
        report["clock"]


def test_scores_hold_numpy_free_json(grokked):
    for name in builtin():
        score = getattr(detectors, name)(grokked, draws=19)
        assert json.loads(json.dumps(score.to_dict(), allow_nan=False))["value"] == score.value
        assert not any(isinstance(v, np.ndarray | torch.Tensor) for v in score.evidence.values())
