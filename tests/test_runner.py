"""What `detectors.run` gives: a line a detector whatever becomes of it, doubts, and plain data."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import detectors
from detectors.core import registry
from detectors.core.nulls import permutation_null
from detectors.core.registry import builtin, load, spec_of
from detectors.core.score import Causal
from detectors.judging.calibration import calibration
from detectors.judging.verdict import LEVEL
from detectors.rewire import Rewired
from detectors.runner import enough_draws
from detectors.subjects.operands.view import ModelView, Tied
from models_zoo import trig_mlp
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


@pytest.mark.wide
def test_a_split_that_cannot_be_right_is_doubted():
    report = detectors.run(detectors.load("zoo:add53_memorised", train_split="0.3:7"), draws=19)
    assert any("are these the pairs" in note for note in report.notes)
    assert "the training pairs given cannot be right" in report.summary
    assert "by a generalising circuit" not in report.summary
    assert detectors.run(detectors.load("zoo:add53_memorised"), draws=19).notes == []
    assert detectors.run(detectors.load("zoo:add53_untrained"), draws=19).notes == []


@pytest.mark.wide
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
    for name in builtin("operands"):
        if "non-abelian group" in spec_of(load(name)).needs:
            continue
        score = getattr(detectors, name)(grokked, draws=19)
        assert json.loads(json.dumps(score.to_dict(), allow_nan=False))["value"] == score.value
        assert not any(isinstance(v, np.ndarray | torch.Tensor) for v in score.evidence.values())


@pytest.mark.wide
def test_questions_are_families_of_their_own(grokked):
    """Beside the mechanism what is there has the p-values and the draws that it has alone."""
    whole = detectors.run(grokked)
    what = [name for name in builtin("operands") if spec_of(load(name)).question == "what"]
    alone = detectors.run(grokked, names=what)
    assert whole["addition_mechanism"].p_adjusted == 3 * whole["addition_mechanism"].p_value  # with two others of how
    assert [(d.p_value, d.p_adjusted) for d in alone] == [(d.p_value, d.p_adjusted) for d in whole][: len(alone)]


@pytest.mark.wide
def test_thirty_detectors_more_change_no_verdict(grokked):
    """Others' p-values are a family of their own: Holm over all 35 would leave 0.005 * 35 > 0.05 of any of ours."""

    def dummy(number):
        @detectors.detector(needs=("logits",), version=1, source="none", causal=False)
        def one(model, /, *, draws=199, seed=0):
            null = permutation_null(1.0, torch.zeros(draws), "nothing")
            return detectors.Score(value=1.0, null=null, causal=None)

        one.__detector__ = replace(one.__detector__, name=f"dummy_{number}")
        return one

    alone, own = detectors.run(grokked), len(builtin("operands"))
    beside = detectors.run(grokked, names=[*builtin("operands"), *map(dummy, range(30))])
    assert [d.p_adjusted for d in alone] == [d.p_adjusted for d in beside][:own]
    assert [d.verdict for d in alone] == [d.verdict for d in beside][:own]
    assert alone["trig_logits"].verdict == "present"
    assert {d.verdict for d in beside.detections[own:]} == {"inconclusive"}
    assert beside["dummy_0"].p_adjusted == pytest.approx(30 / 200)


@pytest.mark.parametrize("tests", [1, 5, 6, 11, 40])
def test_the_smallest_p_value_passes_holm_over_all_calibrated_detectors_with_room(tests):
    smallest = 1 / (enough_draws(tests) + 1)
    assert tests * smallest <= LEVEL / 2
    assert enough_draws(tests) == 199 or (tests + 1) * smallest > LEVEL / 2


def test_draws_follow_from_the_detectors_that_run(grokked):
    assert detectors.run(grokked, names=["generalisation"])[0].null.draws == 199
    assert detectors.run(grokked, names=["generalisation"], draws=39)[0].null.draws == 39


def test_the_reason_says_what_a_value_rests_on():
    report = detectors.run(detectors.load("zoo:add53_grokked").with_train_mask(None), names=["generalisation"])
    assert report[0].verdict == "present"
    assert "settled on all pairs, as it answers 2809 of 2809: if at least 32 pairs (1.1%)" in report[0].reason


def test_logits_that_are_not_finite_are_refused_by_the_name_of_the_pairs():
    view = detectors.load("zoo:clock31")

    def broken(name, tokens, x):
        at = (tokens == torch.tensor([3, 5])).all(1)
        return x.masked_fill(at[:, None], float("nan")) if name == "logits" else x

    wrong = ModelView(Rewired(view.network, disturb=broken), view.task)
    with pytest.raises(
        detectors.DetectorsError, match=r"the logits of 1 of 961 pairs are not finite, such as \(3, 5\)"
    ):
        detectors.run(wrong)


def plugin(returned):
    @detectors.detector(needs=("logits",), version=1, source="none")
    def theirs(model, /, *, draws=1, seed=0):
        return returned()

    return theirs


class Evil:
    def __iter__(self):
        raise SystemExit(0)


@pytest.mark.parametrize(
    ("evidence", "null", "causal", "words"),
    [
        ({1, 2}, None, None, "set"),
        (object(), None, None, "cannot be reported"),
        (lambda: 3, None, None, "cannot be reported"),
        (b"\xff", None, None, "cannot be reported"),
        ("x" * 2**24, None, None, "are reported"),
        (1, {"p_value": float("nan")}, None, "p_value"),
        (1, {"p_value": 1.5}, None, "p_value"),
        (1, {"mean": float("nan")}, None, "mean"),
        (1, None, {"necessity": 1.5}, "necessity is a share in [0, 1]"),
        (1, None, {"control": float("nan")}, "control is a share in [0, 1]"),
        (1, None, {"p_value": float("inf")}, "its JSON says something else"),
    ],
    ids=["set", "object", "function", "bytes", "long", "nan_p", "large_p", "nan_mean", "large", "nan_control", "inf_p"],
)
def test_a_plugin_that_returns_nonsense_is_an_error_line_and_the_others_are_reported(
    untrained, evidence, null, causal, words
):
    @dataclass(frozen=True, kw_only=True)
    class Odd(detectors.Score):
        found: object

    def returned():
        drawn = {"permuted": "x", "draws": 19, "mean": 0.0, "p_value": 0.5, "smallest": 0.05}
        caused = {"necessity": 0.5, "sufficiency": 0.5, "control": 0.0, "pairs": 9, "basis": "all_pairs"}
        return Odd(
            value=0.5,
            null=detectors.Null(**drawn | null) if null else None,
            causal=detectors.Causal(**caused | causal) if causal else None,
            found=evidence,
        )

    report = detectors.run(detectors.load(untrained, task="add:13"), names=[plugin(returned), "trig_logits"], draws=19)
    assert report["theirs"].verdict == "error"
    assert words in report["theirs"].reason
    assert report["trig_logits"].verdict == "absent"
    assert detectors.Report.model_validate_json(report.to_json()) == report


class Mute(BaseException):
    def __str__(self):
        raise SystemExit(0)


@pytest.mark.parametrize("stopped", [SystemExit(0), GeneratorExit(), RecursionError("deep"), Mute()])
def test_a_plugin_that_exits_is_an_error_line(untrained, stopped):
    def returned():
        raise stopped

    report = detectors.run(detectors.load(untrained, task="add:13"), names=[plugin(returned)], draws=19)
    assert report[0].verdict == "error"


def test_what_a_plugin_declares_or_finds_is_nonsense(untrained):
    """Neither the sentence nor a table believes that evidence has the form of ours."""

    @dataclass(frozen=True, kw_only=True)
    class Odd(detectors.Score):
        train_set: str = "inferred"
        train_fraction: str = "half"
        key_irreps: int = 3

    sane = plugin(lambda: Odd(value=0.5, null=None, causal=None))
    sane.__detector__ = replace(sane.__detector__, chose="key_irreps")
    worded = plugin(lambda: detectors.Score(value="half", null=None, causal=None))
    named = plugin(lambda: detectors.Score(value=0.5, null=None, causal=None))
    model = detectors.load(untrained, task="add:13")
    report = detectors.run(model, names=[sane, worded], draws=19)
    assert [d.verdict for d in report] == ["inconclusive", "error"]
    for field, value in (("version", "new"), ("needs", None), ("chose", 3), ("news", "none"), ("subject", 3)):
        named.__detector__ = replace(worded.__detector__)
        object.__setattr__(named.__detector__, field, value)  # as where nobody checks types
        (found,) = detectors.run(model, names=[named], draws=19)
        assert found.verdict in ("error", "not_applicable"), field
    assert "theirs" in str(report)


@pytest.mark.parametrize(("value", "asked"), [(1.0, 1), (0.55, 2)])
def test_a_reading_that_computes_the_same_is_asked_for_what_a_little_might_change_alone(monkeypatch, value, asked):
    """0.55 is within a tenth of the threshold, 1.0 is not."""
    seen, row = [], calibration()["rows"]["trig_logits"]
    cause = Causal(necessity=0.9, sufficiency=1.0, control=0.0, pairs=99, basis="all_pairs")

    @detectors.detector(needs=("logits",), version=row["version"], source="none", chance=False)
    def trig_logits(model, /, *, draws=1, seed=0):
        seen.append(model)
        return detectors.Score(value=value, null=None, causal=cause)

    monkeypatch.setitem(row, "threshold", 0.5)
    view = trig_mlp(p=11, frequencies=(3,), train_fraction=0.5)
    view.tied = (Tied("--arch act_fn=relu", "--arch act_fn=gelu", view.network),)
    report = detectors.run(view, names=[trig_logits], draws=19)
    assert report["trig_logits"].verdict == "present"
    assert len(seen) == asked
    assert report.alternatives[0].likeness == 1.0
