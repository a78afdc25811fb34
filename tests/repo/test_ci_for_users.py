"""What we tell others to put into their CI: the very commands of the documentation, run in a repository like theirs."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.wide
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "ci.md").read_text()
FILES = {m[1]: yaml.safe_load(m[2]) for m in re.finditer(r'^```yaml title="([^"]+)"\n(.*?)^```$', PAGE, re.M | re.S)}
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
HOOK = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())[0]


@pytest.fixture
def project(tmp_path):
    """A git repository with a release and a policy."""
    folder = tmp_path / "project"
    (folder / "models").mkdir(parents=True)
    shutil.copytree(ROOT / "models_zoo" / "weights" / "add53_grokked", folder / "models" / "release")
    (folder / "release.gate.toml").write_text(
        'must = { trig_logits = "present", memorisation = "absent" }\naccuracy = { test = 0.99 }\n'
    )
    for command in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def run(project, script, **env):
    """A step as the runner starts it: bash -e, the installed package first in the path."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "GITHUB_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    github = {"GITHUB_ACTIONS": "true", "GITHUB_STEP_SUMMARY": str(project / "summary.md"), "RUNNER_TEMP": str(project)}
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
        cwd=project,
        env={**kept, "PATH": path, "OMP_NUM_THREADS": "1", **github, **env},
        capture_output=True,
        text=True,
    )


def steps(document):
    return [step for job in document["jobs"].values() for step in job["steps"]]


def filled(text, inputs):
    """`${{ inputs.NAME }}` as the runner fills it in; an expression that we do not know is an error."""
    values = {f"inputs.{k}": v for k, v in inputs.items()} | {"github.action_path": str(ROOT)}
    return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda m: values[m[1]], text)


def memorise(project):
    """The release turns out to have memorised."""
    shutil.rmtree(project / "models" / "release")
    shutil.copytree(ROOT / "models_zoo" / "weights" / "add53_memorised", project / "models" / "release")


def installs(step):
    return "pip install" in step["run"]


@pytest.fixture(scope="module")
def baseline():
    """The good release's report, as --update-baseline writes it."""
    import detectors

    return detectors.run(detectors.load(ROOT / "models_zoo" / "weights" / "add53_grokked")).to_json()


def test_the_documented_steps_pass_a_good_release_and_fail_a_bad_one(project, baseline):
    (project / "baseline.json").write_text(baseline)
    commands = [s["run"] for s in steps(FILES[".github/workflows/gate-by-hand.yml"]) if "run" in s and not installs(s)]
    assert len(commands) == 1
    done = run(project, commands[0])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Gate passed" in (project / "summary.md").read_text()
    assert json.loads((project / "badge.json").read_text())["message"] == "passed"
    uploaded = next(
        s["with"]["path"] for s in steps(FILES[".github/workflows/gate-by-hand.yml"]) if "path" in s.get("with", {})
    )
    assert all((project / name).stat().st_size for name in uploaded.split())
    memorise(project)
    done = run(project, commands[0])
    assert done.returncode == 1, done.stdout + done.stderr
    assert "::error" in done.stdout + done.stderr
    assert "Gate failed" in (project / "summary.md").read_text()
    assert json.loads((project / "badge.json").read_text())["message"] != "passed"


def test_the_action_does_what_its_documented_use_asks_for(project, baseline):
    (project / "baseline.json").write_text(baseline)
    use = next(s for s in steps(FILES[".github/workflows/gate.yml"]) if "circuit-detectors" in s.get("uses", ""))
    assert set(use["with"]) <= set(ACTION["inputs"])
    required = {name for name, i in ACTION["inputs"].items() if i.get("required")}
    assert required <= set(use["with"])
    inputs = {name: str(i.get("default", "")) for name, i in ACTION["inputs"].items()} | use["with"]
    own = [s for s in ACTION["runs"]["steps"] if "run" in s]
    assert [s["shell"] for s in own] == ["bash", "bash"]
    assert filled(own[0]["env"]["ACTION_PATH"], inputs) == str(ROOT)
    gate = own[1]
    assert "${{" not in gate["run"]  # no input is pasted into a script
    env = {key: filled(value, inputs) for key, value in gate["env"].items()}
    done = run(project, gate["run"], **env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "baseline" in done.stdout
    assert (project / inputs["html"]).stat().st_size
    ET.parse(project / "detectors-junit.xml")
    memorise(project)
    assert run(project, gate["run"], **env | {"BASELINE": ""}).returncode == 1


def test_an_input_is_never_run(project):
    gate = next(s for s in ACTION["runs"]["steps"] if s.get("name") == "Gate")
    env = dict.fromkeys(gate["env"], "") | {
        "CHECKPOINT": "$(touch run)",
        "POLICY": "release.gate.toml",
        "HTML": "a.html",
        "TIMEOUT": "300",
    }
    assert run(project, gate["run"], **env).returncode == 2
    assert not (project / "run").exists()


def test_the_gitlab_job_writes_the_junit_file_that_it_declares(project):
    job = FILES[".gitlab-ci.yml"]["gate"]
    for line in job["script"]:
        if "pip install" not in line:
            done = run(project, line, GITHUB_ACTIONS="")
            assert done.returncode == 0, done.stdout + done.stderr
    cases = ET.parse(project / job["artifacts"]["reports"]["junit"]).getroot().iter("testcase")
    assert len(list(cases)) == 3
    assert all((project / name).exists() for name in job["artifacts"]["paths"])


def test_the_pre_commit_hook_runs_with_the_documented_arguments(project):
    used = FILES[".pre-commit-config.yaml"]["repos"][0]["hooks"][0]
    assert used["id"] == HOOK["id"]
    assert HOOK["language"] == "python"
    assert HOOK["pass_filenames"] is False
    assert any(re.search(used["files"], str(p.relative_to(project))) for p in project.rglob("*.safetensors"))
    command = " ".join([HOOK["entry"], *used["args"]])
    assert run(project, command).returncode == 0
    memorise(project)
    done = run(project, command)
    assert done.returncode == 1
    assert "memorisation is present" in " ".join(done.stdout.split())


def test_what_is_installed_in_the_documentation_is_this_distribution():
    lines = re.findall(r"pip install \"(.+?)\"", PAGE)
    assert lines
    assert all(re.match(r"circuit-detectors(\[html\])? @ ", line) for line in lines)


def test_actions_are_pinned_by_commit():
    """A tag can be moved to other code; ours is a placeholder for whoever owns the repository."""
    every = steps({"jobs": {"action": {"steps": ACTION["runs"]["steps"]}}})
    for document in FILES.values():
        every += steps(document) if isinstance(document, dict) and "jobs" in document else []
    used = [step["uses"] for step in every if "uses" in step and not step["uses"].startswith("OWNER/")]
    assert len(used) >= 5
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", name) for name in used)


def test_nothing_is_imported_from_the_checkout_and_versions_are_constrained(project):
    own = {s["name"]: s["run"] for s in ACTION["runs"]["steps"] if "run" in s}
    assert own["Install"].startswith('python -I -m pip install -c "$ACTION_PATH/constraints.txt"')
    for name in ("pip", "json", "detectors", "torch"):
        (project / f"{name}.py").write_text("import os; os._exit(0)")
    gate = next(s for s in ACTION["runs"]["steps"] if s.get("name") == "Gate")
    given = {"CHECKPOINT": "models/release", "POLICY": "release.gate.toml", "HTML": "a.html", "TIMEOUT": "300"}
    memorise(project)
    assert run(project, gate["run"], **dict.fromkeys(gate["env"], "") | given).returncode == 1


def test_torch_is_asked_for_without_known_holes():
    """GHSA-63cw-57p8-fm3p: before 2.10 a file read with weights_only could corrupt memory."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (torch,) = (d for d in dependencies if d.startswith("torch"))
    assert tuple(map(int, re.findall(r"\d+", torch))) >= (2, 10)
