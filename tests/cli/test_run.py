"""`detectors run`: output, files, exit codes."""

import json
import os
from pathlib import Path

import jsonschema
import pytest

import detectors
from detectors.core import registry
from detectors.core.registry import builtin

SCHEMA = json.loads((Path(detectors.__file__).parent / "report" / "report.schema.json").read_text())
FAST = ["--draws", "19"]


@pytest.mark.wide
def test_the_shipped_models_come_out_as_they_were_trained(call):
    result = call("run", "zoo:add53_grokked", "zoo:add53_memorised", "zoo:add53_untrained")
    assert result.exit_code == 0
    first, second, third = result.stdout.split("─" * 100)
    assert "by a generalising circuit" in first
    assert "a+b-c" in first
    assert "memorised" in second
    assert "untrained model" in third
    for name in builtin("operands"):
        assert name in first


def test_json_follows_its_schema_and_does_not_vary(call, tmp_path):
    texts = []
    for name in ("a.json", "b.json"):
        assert call("run", "zoo:add53_memorised", "-q", "--json", tmp_path / name, *FAST).exit_code == 0
        document = json.loads((tmp_path / name).read_text())
        jsonschema.validate(document, SCHEMA, jsonschema.Draft202012Validator)
        for detection in document["detections"]:
            detection["seconds"] = 0
        texts.append(json.dumps(document))
    assert texts[0] == texts[1]
    assert document["schema"] == 2
    assert document["checkpoint"]["sha256"]
    assert [d["detector"] for d in document["detections"]] == list(builtin("operands"))


def test_json_to_stdout_is_json_alone(call, untrained):
    result = call("run", untrained, "--task", "add:13", "--json", "-", *FAST)
    assert json.loads(result.stdout)["task"]["spec"] == "add:13"


@pytest.mark.parametrize("task", ["max:13", "quad:13", "infer", "mul:13", "compose:C13"])
def test_every_kind_of_task_gives_a_valid_report(call, untrained, tmp_path, task):
    result = call("run", untrained, "--task", task, "--json", tmp_path / "r.json", "--train-split", "0.5:1", *FAST)
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(document, SCHEMA, jsonschema.Draft202012Validator)
    if task in ("max:13", "quad:13", "infer"):
        assert {d["verdict"] for d in document["detections"]} == {"not_applicable"}
        assert "no group" in document["summary"]


def test_one_detector_by_name(call, untrained):
    result = call("run", untrained, "--task", "add:13", "-d", "trig_logits", "--json", "-", *FAST)
    assert [d["detector"] for d in json.loads(result.stdout)["detections"]] == ["trig_logits"]
    typo = call("run", untrained, "--task", "add:13", "-d", "trig_logit")
    assert typo.exit_code == 2
    assert "did you mean trig_logits" in typo.output


def test_unknown_training_pairs_are_said_with_what_would_settle_them(call, untrained):
    result = call("run", untrained, "--task", "add:13", *FAST)
    assert "--train-indices" in result.stdout
    assert "unknown" in result.stdout


def test_a_bad_file_among_good_ones_does_not_stop_them(call, untrained, tmp_path):
    result = call(
        "run", untrained, tmp_path / "absent.pt", untrained, "--task", "add:13", "--json", tmp_path / "r.json", *FAST
    )
    assert result.exit_code == 2
    assert len(json.loads((tmp_path / "r.json").read_text())) == 2


def test_a_crashing_detector_is_one_line_and_exit_code_3(call, untrained, monkeypatch, tmp_path):
    real = registry.load

    @detectors.detector(needs=("logits",), version=1, source="none")
    def trig_logits(model, /, *, draws=1, seed=0):
        raise ZeroDivisionError("on purpose")

    monkeypatch.setattr(registry, "load", lambda name: trig_logits if name == "trig_logits" else real(name))
    result = call("run", untrained, "--task", "add:13", "--json", tmp_path / "r.json", *FAST)
    assert result.exit_code == 3
    document = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(document, SCHEMA, jsonschema.Draft202012Validator)
    verdicts = {d["detector"]: d for d in document["detections"]}
    assert verdicts["trig_logits"]["verdict"] == "error"
    assert "on purpose" in verdicts["trig_logits"]["reason"]
    assert verdicts["trig_product_neurons"]["verdict"] == "absent"


def test_a_file_name_that_is_no_utf_8_is_reported_all_the_same(call, untrained, tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff::error::x.pt"))
    odd.write_bytes(untrained.read_bytes())
    result = call("run", odd, "--task", "add:13", "--json", tmp_path / "r.json", *FAST)
    assert result.exit_code == 0, result.output
    assert "::" not in result.output
    assert json.loads((tmp_path / "r.json").read_text())["checkpoint"]["path"].endswith("\\udcff::error::x.pt")


def test_a_device_that_is_not_there_is_said_and_nothing_is_scored(call, untrained):
    result = call("run", untrained, "--task", "add:13", "--device", "cuda:99")
    assert result.exit_code == 2
    assert "--device cuda:99" in result.stderr
    assert "Leave --device out" in result.stderr
