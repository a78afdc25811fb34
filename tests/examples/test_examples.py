"""The examples do what they say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "from_training_to_gate.ipynb"


def run(script, *arguments, cwd):
    """In a process of its own: the warnings of a kernel or of plotly are not ours."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    env |= {"JUPYTER_PLATFORM_DIRS": "1", "IPYTHONDIR": str(cwd), "JUPYTER_RUNTIME_DIR": str(cwd)}
    done = subprocess.run([sys.executable, script, *arguments], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.wide
def test_the_notebook_runs_and_tells_its_story(tmp_path):
    said = run(Path(__file__).with_name("run_notebook.py"), NOTEBOOK, cwd=tmp_path)
    assert "train accuracy 1.000, test accuracy 0.0" in said
    assert said.count("[figure of") == 3
    phases = re.findall(r"^ *\d+  G .*  (\w[\w ]*)$", said, re.MULTILINE)
    order = list(dict.fromkeys(phases))
    assert order == ["initial", "memorisation", "circuit formation", "cleanup", "generalisation"]
    assert said.count("pass ") == 5
    assert said.count("FAIL ") == 5


def test_the_committed_notebook_has_no_outputs():
    for cell in json.loads(NOTEBOOK.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []
            assert cell["execution_count"] is None


@pytest.mark.wide
def test_training_stops_when_the_circuit_is_there_and_the_detectors_agree(tmp_path):
    said = run(EXAMPLES / "stop_when_grokked" / "train.py", "--out", "model.pt", cwd=tmp_path)
    rows = re.findall(r"^ +(\d+) +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)  (.+)$", said, re.MULTILINE)
    assert rows[0][5] == "initial"
    assert rows[1][5] == "memorisation"
    step, train, test, g, m = (float(x) for x in rows[-1][:5])
    assert f"stopped at step {step:.0f}" in said
    assert step <= 5000
    assert train == 1.0
    assert test > 0.95
    assert g > 0.9
    assert m < 0.3
    # the command that it prints at the end scores the file that it wrote
    command = said.splitlines()[-1].split()
    assert command[0] == "detectors"
    shown = subprocess.run(
        [sys.executable, "-m", "detectors.cli", *command[1:]], cwd=tmp_path, capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"trig_logits +present", shown.stdout)
    assert re.search(r"memorisation +absent", shown.stdout)
