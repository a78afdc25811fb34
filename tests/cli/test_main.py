"""The command as a process: exit codes, and what it imports."""

import subprocess
import sys

import pytest

import detectors


@pytest.mark.sampled(12)
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
        [sys.executable, "-m", "detectors.cli", "run", *[a.format(file=untrained) for a in arguments]],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()


@pytest.mark.wide
def test_ctrl_c_exits_with_130(untrained):
    code = (
        "import detectors.cli as c, detectors\n"
        "def stop(*a, **k): raise KeyboardInterrupt\n"
        "detectors.load = stop\n"
        f"import sys; sys.argv = ['detectors', 'run', {str(untrained)!r}, '--task', 'add:13']\n"
        "c.main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr


@pytest.mark.wide
@pytest.mark.parametrize(
    "code", ["import detectors", "import detectors; detectors.detector", "HELP", "import models_zoo.__main__"]
)
def test_light_imports(code):
    """`import detectors` and `detectors --help` load neither torch nor TransformerLens nor anything as heavy."""
    if code == "HELP":
        code = (
            "import sys; sys.argv = ['detectors', '--help']\n"
            "from detectors.cli import main\n"
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


def test_the_version_is_printed(call):
    assert call("--version").stdout == f"detectors {detectors.__version__}\n"
