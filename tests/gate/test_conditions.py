"""The gate from policy to exit code: what passes, what fails in one line, and what is refused."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

import detectors
from detectors.cli import app, main
from detectors.core.verdict import Verdict
from detectors.gate import policy as policies
from detectors.gate.baseline import changes
from detectors.gate.conditions import conditions, evaluate
from detectors.gate.policy import Policy, PolicyError, read_policy
from detectors.report.files import write_text
from detectors.report.junit import to_junit
from detectors.report.markdown import badge, error_lines, to_markdown
from detectors.rewire import noisy
from models_zoo import trig_mlp

pytestmark = pytest.mark.usefixtures("here")
RELEASE = """
must = { trig_logits = "present", generalisation = "present", memorisation = ["absent", "inert"] }
must_not = { sparse_fourier_embedding = "inert" }
bounds = ["generalisation.structured_accuracy >= 0.99", "memorisation.membership_advantage <= 0.3"]
accuracy = { test = 0.99 }
draws = 99
"""
GOOD, BAD = "zoo:d15_transformer", "zoo:a5_mlp_memorised"


def gate(*arguments, **env):
    return CliRunner().invoke(app, ["gate", *map(str, arguments)], env={"COLUMNS": "200", **env})


@pytest.fixture
def release(tmp_path):
    file = tmp_path / "release.gate.toml"
    file.write_text(RELEASE)
    return file


@pytest.fixture(scope="module")
def good():
    return detectors.run(detectors.load(GOOD), draws=99)


@pytest.fixture(scope="module")
def bad():
    return detectors.run(detectors.load(BAD), draws=99)


def test_the_grokked_model_passes(release):
    done = gate(GOOD, "--policy", release)
    assert done.exit_code == 0, done.output
    assert done.output.count("pass  ") == 7
    assert "gate passed: 7 conditions" in done.output


def test_the_memorised_model_fails_with_one_line_a_breach(release):
    done = gate(BAD, "--policy", release, "-q")
    assert done.exit_code == 1
    lines = [line for line in done.output.splitlines() if line.startswith("FAIL")]
    assert len(lines) == 6
    assert lines[0].startswith("FAIL  trig_logits is absent (the structure is not there: score 0.000")
    assert lines[0].endswith("must be present")
    assert lines[-1].startswith("FAIL  accuracy.test is 0.000")
    assert lines[-1].endswith("must be >= 0.99")
    assert done.output.splitlines()[-1] == "gate failed: 6 of 7 conditions"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no conditions"),
        ("mus = 1", "unknown key 'mus'; did you mean 'must'?"),
        ("[accuracy]\ntets = 0.9", "unknown key 'accuracy.tets'; did you mean 'test'?"),
        ("[must]\ntrig_logit = 'present'", "no detector 'trig_logit'; did you mean 'trig_logits'?"),
        ("[must]\ntrig_logits = 'yes'", "must.trig_logits: input should be 'present', 'inert' or 'absent'"),
        ("[must]\ntrig_logits = 3", "must.trig_logits"),
        ("bounds = ['generalisation >= 1']", "is no bound; write `detector.evidence >= number`"),
        ("bounds = ['generalization.score >= 1']", "did you mean 'generalisation'?"),
        ("accuracy = { test = 1.5 }", "accuracy.test: input should be less than or equal to 1"),
        ("[baseline]\ntolerances = { memorization = 0.1 }", "did you mean 'memorisation'?"),
        ("draws = 0", "draws: input should be greater than or equal to 1"),
        ("must = {", "cannot be read as TOML"),
        ("baseline = { file = 'none.json' }", "no report"),
    ],
)
def test_a_malformed_policy_is_refused_in_words_before_anything_is_scored(text, words, tmp_path, capsys, monkeypatch):
    file = tmp_path / "a.gate.toml"
    file.write_text(text)
    monkeypatch.setattr("detectors.gate.apart.score_apart", lambda *a, **k: pytest.fail("scored"))
    monkeypatch.setattr(sys, "argv", ["detectors", "gate", GOOD, "--policy", str(file)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_missing_policy_checkpoint_and_folder_are_code_2(tmp_path, release, monkeypatch, capsys):
    for arguments, words in (
        ([GOOD, "--policy", str(tmp_path / "no.gate.toml")], "no policy"),
        (["nowhere.pt", "--policy", str(release)], "no file or folder nowhere.pt"),
        ([GOOD, "--policy", str(release), "--junit", str(tmp_path / "no" / "j.xml")], "there is no folder"),
        ([GOOD, "--policy", str(release), "--baseline", str(tmp_path / "none.json")], "no report"),
        ([GOOD, "--policy", str(release), "--update-baseline"], "say where"),
    ):
        monkeypatch.setattr(sys, "argv", ["detectors", "gate", *arguments])
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        assert words in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[must]\ngeneralisation = 'present'", "generalisation is inconclusive"),
        ("[must_not]\ngeneralisation = 'absent'", "generalisation is inconclusive"),
        ("bounds = ['generalisation.structured_accuracy >= 0']", "so structured_accuracy could not be evaluated"),
        ("accuracy = { test = 0.1 }", "accuracy.test is not known"),
    ],
)
def test_what_cannot_be_evaluated_fails(text, words, tmp_path):
    report = detectors.run(trig_mlp(p=23, frequencies=(2, 5)), draws=39)
    file = tmp_path / "a.gate.toml"
    file.write_text(text)
    (outcome,) = evaluate(conditions(*read_policy(file)), report)
    assert not outcome.passed
    assert words in outcome.sentence


def test_a_detector_that_was_not_run_or_crashed_fails(good):
    alone = good.model_copy(update={"detections": [good["memorisation"]]})
    crashed = good["trig_logits"].model_copy(update={"verdict": "error", "reason": "boom", "score": None})
    broken = good.model_copy(update={"detections": [crashed]})
    policy = Policy(must={"trig_logits": "present"}, bounds=["trig_logits.score >= 0"])
    assert [o.sentence for o in evaluate(conditions(policy, Path()), alone)] == ["trig_logits was not run"] * 2
    verdict, score = evaluate(conditions(policy, Path()), broken)
    assert verdict.sentence == "trig_logits is error (boom); must be present"
    assert "could not be evaluated" in score.sentence


@pytest.mark.parametrize(
    ("bound", "passes"),
    [
        ("trig_logits.score >= 0.2", True),
        ("trig_logits.score < 0.2", False),
        ("trig_logits.p_value <= 0.01", True),
        ("trig_logits.causal.necessity > 0.5", True),
        ("trig_product_neurons.share_above_0.85 >= 0.5", True),
        ("memorisation.membership_advantage <= -2e0", False),
    ],
)
def test_bounds(bound, passes, good):
    (outcome,) = evaluate(conditions(Policy(bounds=[bound]), Path()), good)
    assert outcome.passed is passes, outcome.sentence
    assert outcome.properties["verdict"] == good[bound.split(".")[0]].verdict


def test_a_policy_may_live_in_pyproject(tmp_path):
    file = tmp_path / "pyproject.toml"
    file.write_text("[tool.detectors.gate.release]\nmust = { memorisation = 'absent' }\n")
    assert read_policy(file)[0] == read_policy(f"{file}:release")[0] == Policy(must={"memorisation": "absent"})
    file.write_text(file.read_text() + "[tool.detectors.gate.nightly]\naccuracy = { all = 0.5 }\n")
    assert read_policy(f"{file}:nightly")[0].accuracy.all == 0.5
    with pytest.raises(PolicyError, match="has several gates"):
        read_policy(file)
    with pytest.raises(PolicyError, match="no gate 'weekly'; it has release, nightly"):
        read_policy(f"{file}:weekly")
    file.write_text("[project]\nname = 'x'\n")
    with pytest.raises(PolicyError, match="has no table"):
        read_policy(file)


def test_the_published_schema_is_the_one_that_the_code_writes_and_accepts_the_example():
    published = json.loads((Path(policies.__file__).parent / "policy.schema.json").read_text())
    assert published == policies.schema()
    import tomllib

    jsonschema.validate(tomllib.loads(RELEASE), published)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"mus": 1}, published)


@pytest.mark.wide
def test_baselines_are_written_whole_compared_and_kept_when_the_gate_fails(tmp_path, release):
    baseline = tmp_path / "baseline.json"
    first = gate(GOOD, "--policy", release, "--baseline", baseline, "--update-baseline")
    assert first.exit_code == 0, first.output
    text = baseline.read_text()
    again = gate(GOOD, "--policy", release, "--baseline", baseline)
    assert again.exit_code == 0
    assert again.output.count("as in the baseline") == 9
    other = json.loads(text)
    other["detections"][2]["evidence"]["key_irreps"] = ["freq_3"]
    (tmp_path / "other.json").write_text(json.dumps(other))
    changed = gate(GOOD, "--policy", release, "--baseline", tmp_path / "other.json")
    assert changed.exit_code == 0  # reported, and no failure unless the policy says so
    assert "pass  trig_logits: key irreps was freq_3, is " in changed.output
    (tmp_path / "other.json").unlink()
    failed = gate(BAD, "--policy", release, "--baseline", baseline)
    assert failed.exit_code == 1
    assert "the baseline is of the task compose:D15, the model of compose:A5" in failed.output
    assert "verdict was absent, is present" in failed.output
    kept = gate(BAD, "--policy", release, "--baseline", baseline, "--update-baseline")
    assert kept.exit_code == 1
    assert "left as it was" in kept.output
    assert baseline.read_text() == text
    assert {p.name for p in tmp_path.iterdir()} == {"baseline.json", "release.gate.toml"}


def test_what_is_worse_depends_on_the_motif(good, bad):
    worse = {c.detector: c.worse for c in changes(good, bad) if c.kind == "verdict"}
    assert all(worse.values())
    assert "memorisation" in worse
    better = {c.detector: c.worse for c in changes(bad, good) if c.kind == "verdict"}
    assert not any(better.values())
    assert changes(good, good) == []
    assert {d.detector for d in good if d.spec.news == "bad"} == {"memorisation"}


def moved(report, name, **changed):
    detections = [d.model_copy(update=changed) if d.detector == name else d for d in report]
    return report.model_copy(update={"detections": detections})


@pytest.mark.parametrize(
    ("name", "changed", "rules", "passes"),
    [
        ("trig_logits", {"score": 0.48}, {"tolerance": 0.05}, True),
        ("trig_logits", {"score": 0.40}, {"tolerance": 0.05}, False),
        ("trig_logits", {"score": 0.40}, {"tolerance": 0.05, "tolerances": {"trig_logits": 0.5}}, True),
        ("trig_logits", {"score": 1.0}, {}, True),
        ("memorisation", {"score": 0.2}, {}, False),
        ("trig_logits", {"version": 9}, {}, False),
        ("trig_logits", {"evidence": {"key_irreps": ["freq_1"]}}, {}, True),
        ("trig_logits", {"evidence": {"key_irreps": ["freq_1"]}}, {"key_irreps": "fail"}, False),
        ("trig_logits", {"verdict": Verdict.INCONCLUSIVE}, {}, False),
    ],
)
def test_what_may_differ_from_the_baseline(name, changed, rules, passes, good, tmp_path):
    assert 0.50 < good["trig_logits"].score < 0.53
    write_text(tmp_path / "b.json", good.to_json())
    policy = Policy.model_validate({"baseline": {"file": "b.json", **rules}})
    outcomes = evaluate(conditions(policy, tmp_path), moved(good, name, **changed))
    failed = [o.id for o in outcomes if not o.passed]
    assert failed == ([] if passes else [f"baseline: {name}"])


@pytest.mark.wide
def test_the_usual_tolerance_is_between_another_seed_and_noise_in_the_model(good, bad, tmp_path):
    for name, report in (("bad", bad), ("good", good)):
        write_text(tmp_path / f"{name}.json", report.to_json())
    found = conditions(Policy(), tmp_path, tmp_path / "bad.json")
    for seed in range(1, 7):  # this one's scores move more than the other's
        again = detectors.run(detectors.load(BAD), draws=99, seed=seed)
        assert all(o.passed for o in evaluate(found, again))
    found = conditions(Policy(), tmp_path, tmp_path / "good.json")
    worse = detectors.run(noisy(detectors.load(GOOD), 0.3, seed=1), draws=99)
    assert {d.detector: d.verdict for d in worse} == {d.detector: d.verdict for d in good}
    failed = [o.id for o in evaluate(found, worse) if not o.passed]
    assert failed == [f"baseline: {n}" for n in ("sparse_fourier_embedding", "trig_product_neurons", "trig_logits")]


def test_a_moved_threshold_is_told_and_another_task_doubted(good, bad, tmp_path):
    older = moved(good, "trig_logits", threshold=0.9)
    assert [str(c) for c in changes(older, good)] == [
        f"trig_logits: threshold was 0.9, is {good['trig_logits'].threshold}"
    ]
    for name, report in (("a", good), ("b", bad)):
        write_text(tmp_path / f"{name}.json", report.to_json())
    done = CliRunner().invoke(app, ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")])
    assert "The tasks differ" in done.stdout


def test_a_wrong_split_fails_the_gate_and_the_doubt_is_printed(tmp_path):
    """A memoriser that would pass if its training pairs were taken for others."""
    file = tmp_path / "a.gate.toml"
    file.write_text("train_split = '0.3:12'\nmust = { memorisation = 'absent' }")
    done = gate("zoo:a5_mlp_memorised", "--policy", file)
    assert done.exit_code == 1
    assert "the training pairs given cannot be right" in done.output
    assert "Note: the training pairs are answered no better" in done.output


def test_a_baseline_that_is_no_report_is_refused(tmp_path, release):
    (tmp_path / "b.json").write_text('{"a": 1}')
    done = CliRunner().invoke(app, ["gate", GOOD, "--policy", str(release), "--baseline", str(tmp_path / "b.json")])
    assert "is not the JSON report of one model" in str(done.exception)


def test_compare_prints_what_differs(tmp_path, good, bad):
    for name, report in (("a", good), ("b", bad)):
        write_text(tmp_path / f"{name}.json", report.to_json())
    done = CliRunner().invoke(
        app, ["compare", str(tmp_path / "a.json"), str(tmp_path / "b.json")], env={"COLUMNS": "150"}
    )
    assert done.exit_code == 0
    assert "compose:A5" in done.stdout
    row = next(line for line in done.stdout.splitlines() if line.startswith("memorisation") and "verdict" in line)
    assert row.split()[1:] == ["verdict", "absent", "present", "worse"]
    same = CliRunner().invoke(app, ["compare", str(tmp_path / "a.json"), str(tmp_path / "a.json")])
    assert "no difference" in same.stdout


def test_junit_holds_every_condition_and_survives_names_that_xml_cannot_hold(good):
    odd = good.model_copy(update={"checkpoint": good.checkpoint.model_copy(update={"path": "a\x00<b>&\x1b[1m\ud800"})})
    outcomes = evaluate(conditions(Policy(must={"trig_logits": "present", "memorisation": "present"}), Path()), odd)
    suite = ET.fromstring(to_junit([odd], outcomes).encode()).find("testsuite")
    assert suite.get("name") == r"a\x00<b>&\x1b[1m\ud800"
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    first, second = suite.findall("testcase")
    properties = {p.get("name"): p.get("value") for p in first.iter("property")}
    assert properties["verdict"] == "present"
    assert float(properties["score"]) == good["trig_logits"].score
    assert float(properties["p_value"]) == good["trig_logits"].p_value
    assert first.find("failure") is None
    assert "must be present" in second.find("failure").get("message")
    plain = ET.fromstring(to_junit([good]).encode()).find("testsuite")
    assert [c.get("classname") for c in plain] == [f"detectors.{d.detector}" for d in good]


def test_markdown_annotations_and_badge(tmp_path, release, good):
    summary = tmp_path / "summary.md"
    done = gate(BAD, "--policy", release, GITHUB_STEP_SUMMARY=str(summary), GITHUB_ACTIONS="true")
    assert done.exit_code == 1
    assert "**Gate failed**: 6 of 7 conditions." in summary.read_text()
    assert done.stderr.count("::error file=") == 6
    outcomes = evaluate(conditions(Policy(must={"memorisation": "present"}), Path()), good)
    assert error_lines(outcomes, "a,b:c")[0].startswith("::error file=a%2Cb%3Ac,title=memorisation is present::")
    assert json.loads(badge(outcomes))["message"] == "1 of 1 failed"
    odd = good.model_copy(update={"summary": "a|b <script> *c*\n`d`"})
    assert "a\\|b &lt;script&gt; \\*c\\* \\`d\\`" in to_markdown(odd)


def test_a_summary_that_cannot_be_written_fails_nothing(release):
    done = gate(GOOD, "--policy", release, GITHUB_STEP_SUMMARY="/nowhere/summary.md")
    assert done.exit_code == 0
    assert "cannot be written" in done.stderr


def test_all_files_are_written_whichever_way_the_gate_goes(tmp_path, release):
    files = {option: tmp_path / f"out.{option}" for option in ("json", "junit", "markdown", "badge")}
    arguments = [x for option, file in files.items() for x in (f"--{option}", file)]
    for model, code in ((GOOD, 0), (BAD, 1)):
        assert gate(model, "--policy", release, *arguments).exit_code == code
        assert all(file.stat().st_size > 50 for file in files.values())


@pytest.mark.wide
def test_a_target_that_cannot_be_replaced_is_a_clear_sentence(tmp_path, release, monkeypatch, capsys):
    """A folder in the file's place, and /proc, which is read-only even for root."""
    (tmp_path / "report.json").mkdir()
    for target in (tmp_path / "report.json", "/proc/report.json"):
        arguments = ["detectors", "gate", GOOD, "--policy", str(release), "--json", str(target)]
        monkeypatch.setattr(sys, "argv", arguments)
        with pytest.raises(SystemExit) as stopped:
            main()
        assert stopped.value.code == 2
        assert f"cannot write {target}: " in " ".join(capsys.readouterr().err.split())


def test_a_killed_run_leaves_no_half_written_file(tmp_path):
    """Killed between two writes of the text: the old file is whole, and no other has its name."""
    code = f"""
import os, signal
from pathlib import Path
from detectors.core import plain_files
real = Path.open
class Stream:
    def __init__(self, *a, **k): self.inner = real(*a, **k)
    def __enter__(self): return self
    def __exit__(self, *a): return self.inner.__exit__(*a)
    def write(self, text):
        self.inner.write(text[:10]); self.inner.flush()
        os.kill(os.getpid(), signal.SIGKILL)
Path.open = lambda *a, **k: Stream(*a, **k)
plain_files.write_text(Path({str(tmp_path / "report.json")!r}), "x" * 1000)
"""
    (tmp_path / "report.json").write_text("old")
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)
    assert done.returncode == -9
    assert (tmp_path / "report.json").read_text() == "old"
    assert [p.name for p in tmp_path.glob("report*")] == ["report.json"]


def test_ctrl_c_is_130(release):
    code = (
        "import sys, detectors.cli as c\n"
        "def stop(*a, **k): raise KeyboardInterrupt\n"
        "import detectors.gate.apart as apart\n"
        "apart.score_apart = stop\n"
        f"sys.argv = ['detectors', 'gate', '{GOOD}', '--policy', {str(release)!r}]\n"
        "c.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env={**os.environ})
    assert done.returncode == 130, done.stderr
    assert "interrupted" in done.stderr


def test_a_name_out_of_a_baseline_is_on_one_line_where_pytest_writes_it(good, tmp_path):
    said = json.loads(good.to_json())
    said["detections"][0]["detector"] = "x\n::error::y\x1b[31m"
    (tmp_path / "b.json").write_text(json.dumps(said))
    for condition in conditions(Policy(), tmp_path, tmp_path / "b.json"):
        assert condition.id.isprintable()
        assert "::" not in condition.id
