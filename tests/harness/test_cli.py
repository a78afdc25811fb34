"""The command as a user types it: output, files, exit codes."""

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import detectors
from detectors.core import registry
from detectors.core.registry import BUILTIN
from detectors.harness.cli import app
from detectors.harness.verdict import calibration
from models_zoo.architectures import initial_weights

SCHEMA = json.loads((Path(detectors.__file__).parent / "harness" / "report.schema.json").read_text())
MLP = {"kind": "mlp", "n_tokens": 13, "d_model": 4, "d_mlp": 8, "d_vocab_out": 13}
FAST = ["--draws", "19"]


def call(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "100"})


@pytest.fixture
def untrained(saved):
    return saved(initial_weights(MLP, 0), "untrained.pt")


def test_the_shipped_models_come_out_as_they_were_trained():
    result = call("run", "zoo:add53_grokked", "zoo:add53_memorised", "zoo:add53_untrained")
    assert result.exit_code == 0
    first, second, third = result.stdout.split("─" * 100)
    assert "by a generalising circuit" in first
    assert "a+b-c" in first
    assert "memorised" in second
    assert "untrained model" in third
    for name in BUILTIN:
        assert name in first


def test_json_follows_its_schema_and_does_not_vary(tmp_path):
    texts = []
    for name in ("a.json", "b.json"):
        assert call("run", "zoo:add53_memorised", "-q", "--json", tmp_path / name, *FAST).exit_code == 0
        document = json.loads((tmp_path / name).read_text())
        jsonschema.validate(document, SCHEMA, jsonschema.Draft202012Validator)
        for detection in document["detections"]:
            detection["seconds"] = 0
        texts.append(json.dumps(document))
    assert texts[0] == texts[1]
    assert document["schema"] == 1
    assert document["checkpoint"]["sha256"]
    assert [d["detector"] for d in document["detections"]] == list(BUILTIN)


def test_json_to_stdout_is_json_alone(untrained):
    result = call("run", untrained, "--task", "add:13", "--json", "-", *FAST)
    assert json.loads(result.stdout)["task"]["spec"] == "add:13"


@pytest.mark.parametrize("task", ["max:13", "quad:13", "infer", "mul:13", "compose:C13"])
def test_every_kind_of_task_gives_a_valid_report(untrained, tmp_path, task):
    result = call("run", untrained, "--task", task, "--json", tmp_path / "r.json", "--train-split", "0.5:1", *FAST)
    assert result.exit_code == 0, result.output
    document = json.loads((tmp_path / "r.json").read_text())
    jsonschema.validate(document, SCHEMA, jsonschema.Draft202012Validator)
    if task in ("max:13", "quad:13", "infer"):
        assert {d["verdict"] for d in document["detections"]} == {"not_applicable"}
        assert "no group" in document["summary"]


def test_one_detector_by_name(untrained):
    result = call("run", untrained, "--task", "add:13", "-d", "trig_logits", "--json", "-", *FAST)
    assert [d["detector"] for d in json.loads(result.stdout)["detections"]] == ["trig_logits"]
    typo = call("run", untrained, "--task", "add:13", "-d", "trig_logit")
    assert typo.exit_code == 2
    assert "did you mean trig_logits" in typo.output


def test_unknown_training_pairs_are_said_with_what_would_settle_them(untrained):
    result = call("run", untrained, "--task", "add:13", *FAST)
    assert "--train-indices" in result.stdout
    assert "unknown" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["absent.pt", "--task", "add:13"],
        ["{file}"],
        ["{file}", "--task", "add:14"],
        ["{file}", "--task", "nonsense"],
        ["{file}", "--task", "add:13", "--arch", "act_fn"],
        ["{file}", "--task", "add:13", "--arch", "act_fn=swoosh"],
        ["{file}", "--task", "add:13", "--train-split", "2:1"],
        ["{file}", "--task", "add:13", "--draws", "0"],
        ["{file}", "--task", "add:13", "--json", "no/such/folder/r.json", "--draws", "1"],
        ["zoo:add53_groked"],
        [],
    ],
)
def test_wrong_calls_and_inputs_exit_with_2_and_one_sentence(untrained, arguments):
    done = subprocess.run(
        [sys.executable, "-m", "detectors.harness.cli", "run", *[a.format(file=untrained) for a in arguments]],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


def test_a_bad_file_among_good_ones_does_not_stop_them(untrained, tmp_path):
    result = call(
        "run", untrained, tmp_path / "absent.pt", untrained, "--task", "add:13", "--json", tmp_path / "r.json", *FAST
    )
    assert result.exit_code == 2
    assert len(json.loads((tmp_path / "r.json").read_text())) == 2


def test_a_crashing_detector_is_one_line_and_exit_code_3(untrained, monkeypatch, tmp_path):
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


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    """Third-party packages as installed: one good, one broken, one that takes a name of ours, one misnamed."""
    (tmp_path / "theirs.py").write_text(
        "import detectors\n"
        "@detectors.detector(needs=('logits',), version=1, source='here')\n"
        "def constant_logits(model, /, *, draws=199, seed=0):\n"
        '    """All logits are one number."""\n'
        "    spread = float(model.logits().std())\n"
        "    return detectors.Score(value=float(spread == 0), null=None, causal=None)\n"
    )
    info = tmp_path / "theirs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[detectors.motifs]\nconstant_logits = theirs:constant_logits\nbroken = theirs:absent\n"
        "trig_logits = theirs:constant_logits\nother_name = theirs:constant_logits\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_detectors_of_others_are_found_and_bad_ones_do_no_harm(plugins, untrained):
    report = detectors.run(detectors.load(untrained, task="add:13"), draws=19)
    assert [d.detector for d in report] == [*BUILTIN, "broken", "constant_logits", "other_name"]
    assert report["constant_logits"].score == 0.0
    assert report["constant_logits"].verdict == "inconclusive"
    assert report["trig_logits"].version == 1
    assert "absent" in report["broken"].reason
    assert "leads to the detector 'constant_logits'" in report["other_name"].reason
    listed = call("list")
    assert listed.exit_code == 0
    assert "does not load" in listed.stdout.replace("\n", " ")


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


def test_list_shows_every_detector_with_its_threshold_and_rates():
    result = call("list")
    assert result.exit_code == 0
    for name, row in calibration()["rows"].items():
        line = next(line for line in result.stdout.splitlines() if line.startswith(name))
        found, false = row["true_positives"]["verdict"], row["false_positives"]["verdict"]
        assert f"{row['threshold']:.2f}" in line
        assert f"{found['count']}/{found['of']}" in line
        assert f"{false['count']}/{false['of']} (<= {false['high']:.1%})" in line


def test_ctrl_c_exits_with_130(untrained):
    code = (
        "import detectors.harness.cli as c, detectors\n"
        "def stop(*a, **k): raise KeyboardInterrupt\n"
        "detectors.load = stop\n"
        f"import sys; sys.argv = ['detectors', 'run', {str(untrained)!r}, '--task', 'add:13']\n"
        "c.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "code", ["import detectors", "import detectors; detectors.detector", "HELP", "import models_zoo.__main__"]
)
def test_light_imports(code):
    """`import detectors` and `detectors --help` load neither torch nor TransformerLens nor anything as heavy."""
    if code == "HELP":
        code = (
            "import sys; sys.argv = ['detectors', '--help']\n"
            "from detectors.harness.cli import main\n"
            "try: main()\nexcept SystemExit as e: assert e.code == 0"
        )
    heavy = "{'torch', 'transformer_lens', 'transformers', 'plotly', 'pandas', 'scipy'} & set(sys.modules)"
    if "models_zoo" in code:
        heavy = "{'transformer_lens', 'transformers', 'plotly', 'pandas'} & set(sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nassert not {heavy}, {heavy}"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr


def test_reports_can_be_indexed_and_iterated(untrained):
    report = detectors.run(detectors.load(untrained, task="add:13"), names=["trig_logits", "memorisation"], draws=19)
    assert len(report) == 2
    assert report[0] is report["trig_logits"]
    assert [d.detector for d in report] == ["trig_logits", "memorisation"]
    with pytest.raises(KeyError, match="it has trig_logits, memorisation"):
        report["clock"]


def test_scores_hold_numpy_free_json(grokked):
    for name in BUILTIN:
        score = getattr(detectors, name)(grokked, draws=19)
        assert json.loads(json.dumps(score.to_dict(), allow_nan=False))["value"] == score.value
        assert not any(isinstance(v, np.ndarray | torch.Tensor) for v in score.evidence.values())
