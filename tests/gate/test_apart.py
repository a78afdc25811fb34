"""Gates as processes, under loaders and plugins that do what they should not: code 0 comes of conditions alone.

The memoriser breaks the policy. Whatever its loader does, the gate must not pass.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from detectors.core.errors import DetectorsError
from detectors.gate.apart import score_apart

ROOT = Path(__file__).parents[2]
WEIGHTS = ROOT / "models_zoo" / "weights"
POLICY = 'task = "add:53"\nmust = { memorisation = "absent" }\ndraws = 19\n'
HONEST = """
import detectors
def load(path, task):
    return detectors.load(path)
"""
deep = pytest.mark.deep
PRINTED = "pass  memorisation is absent\ngate passed: 1 condition"


def command(*arguments, **env):
    return subprocess.run(
        [sys.executable, "-m", "detectors.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "COLUMNS": "200", **env},
    )


@pytest.fixture
def gate(tmp_path):
    """Of a memoriser, under a loader of this text."""
    (tmp_path / "a.gate.toml").write_text(POLICY)

    def run(loader, *arguments, model=WEIGHTS / "add53_memorised"):
        (tmp_path / "mine.py").write_text(loader)
        given = ("--policy", tmp_path / "a.gate.toml", "--loader", f"{tmp_path / 'mine.py'}:load")
        return command("gate", model, *given, *arguments)

    return run


@pytest.mark.wide
def test_an_honest_loader_passes_and_fails_as_it_should(gate):
    assert gate(HONEST).returncode == 1
    assert gate(HONEST, model=WEIGHTS / "add53_grokked").returncode == 0


@pytest.mark.wide
@pytest.mark.parametrize(
    ("loader", "words"),
    [
        (
            "import sys; sys.exit(0)",
            "exits when it is imported, SystemExit: 0 (mine.py, line 1): a script that runs when it is imported?",
        ),
        ("def load(path, task):\n    raise SystemExit", "raised SystemExit: without a word (mine.py, line 2)"),
        ("import os; os._exit(0)", "ended with exit code 0 before there was a report: does a loader or plugin exit?"),
        pytest.param(
            "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
            "ended by signal 9 (Killed) before there was a report",
            marks=deep,
        ),
        pytest.param(f"print({PRINTED!r}); import os; os._exit(0)", "ended with exit code 0", marks=deep),
        pytest.param("raise KeyboardInterrupt", "KeyboardInterrupt", marks=deep),
        pytest.param("class Odd(BaseException): pass\nraise Odd('x')", "Odd: x", marks=deep),
        (
            "import os\nfor fd in range(3, 20):\n    try: os.write(fd, b'{}\\n')\n    except OSError: pass",
            "sent no message of ours",
        ),
        pytest.param(
            "import threading, os\nthreading.Thread(target=lambda: os._exit(0)).start()\nwhile True: pass",
            "exit code 0",
            marks=deep,
        ),
    ],
)
def test_a_loader_that_exits_is_code_2_and_one_sentence(gate, loader, words):
    done = gate(loader)
    assert done.returncode == 2, done.stdout + done.stderr
    assert words in done.stderr
    assert "gate passed" not in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.wide
@pytest.mark.parametrize(
    "lie",
    [
        pytest.param(f"print({PRINTED!r})", marks=deep),
        "import sys, io; sys.stdout = sys.stderr = io.StringIO()",
        pytest.param("import sys; sys.stdout = None; sys.exit = lambda *_: None", marks=deep),
        pytest.param("import atexit, os; atexit.register(os._exit, 0)", marks=deep),
        "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()",
        pytest.param("import os; os.close(1); os.close(2)", marks=deep),
        pytest.param(
            "import typer, rich.console\nrich.console.Console.print = lambda *a, **k: None\ntyper.Exit = None",
            marks=deep,
        ),
        "import detectors.gate.conditions as c\nc.evaluate = lambda *_: []\nc.conditions = lambda *_: []",
    ],
)
def test_a_loader_that_lies_to_the_process_changes_nothing_of_the_gate(gate, lie):
    done = gate(f"{lie}\n{HONEST}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line.startswith(("pass", "FAIL", "gate"))] == [
        next(line for line in done.stdout.splitlines() if line.startswith("FAIL  memorisation is ")),
        "gate failed: 1 of 1 condition",
    ]


@pytest.mark.wide
def test_what_a_loader_prints_stands_behind_a_bar_and_commands_of_runners_are_broken(gate):
    done = gate(f"print('::error::x\\x1b[2J\\n##[warning]y')\n{HONEST}")
    assert r"| \x3a:error\x3a:x\x1b[2J" in done.stderr.splitlines()
    assert r"| \x23#[warning]y" in done.stderr.splitlines()
    assert done.stderr.count("::") == 0
    many = gate(f"print('x\\n' * 100000)\n{HONEST}")
    assert many.stderr.count("| x") == 199
    assert "| (more is left out)" in many.stderr


@pytest.mark.wide
def test_a_loader_that_hangs_ends_in_code_2_with_its_children(gate, tmp_path):
    sleeper = (
        "import subprocess, time\nchild = subprocess.Popen(['sleep', '600'])\n"
        f"with open({str(tmp_path / 'pid')!r}, 'w') as file: file.write(str(child.pid))\n"
        "time.sleep(600)"
    )
    done = gate(sleeper, "--timeout", "8")
    assert done.returncode == 2
    assert "not scored within 8 seconds: --timeout allows more" in done.stderr
    pid = int((tmp_path / "pid").read_text())
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


@pytest.mark.wide
def test_a_process_that_left_the_group_and_holds_the_pipes_holds_nobody_up(gate, tmp_path):
    """It outlives the gate, as the documentation says."""
    daemon = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n"
        f"    open({str(tmp_path)!r} + f'/{{os.getpid()}}', 'w')\n"
        "    time.sleep(600)\n    os._exit(0)\n"
    )
    try:
        assert gate(f"{daemon}os._exit(0)").returncode == 2
        assert gate(f"{daemon}{HONEST}").returncode == 1
        assert len([file for file in tmp_path.iterdir() if Path(f"/proc/{file.name}").exists()]) == 2
    finally:
        for file in tmp_path.iterdir():
            if file.name.isdecimal():
                os.kill(int(file.name), signal.SIGKILL)


@pytest.mark.wide
def test_a_checkpoint_that_its_loader_rewrites_is_not_scored(gate, tmp_path):
    model = tmp_path / "model.safetensors"
    model.write_bytes((WEIGHTS / "add53_grokked" / "model.safetensors").read_bytes())
    rewrites = (
        "def load(path, task):\n    path.write_bytes(path.read_bytes())\n    return detectors.load(path, task='add:53')"
    )
    done = gate(f"import detectors\n{rewrites}", model=model)
    assert done.returncode == 2
    assert "was written to while it was read" in done.stderr


@pytest.mark.wide
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("raise SystemExit(0)", 1),
        ("os._exit(0)", 2),
        pytest.param("print('gate passed: 1 condition'); os._exit(0)", 2, marks=deep),
        pytest.param("time.sleep(600)", 2, marks=deep),
    ],
)
def test_a_plugin_that_exits_or_hangs(tmp_path, body, code):
    (tmp_path / "theirs.py").write_text(
        "import detectors, os, time\n"
        "@detectors.detector(needs=('logits',), version=1, source='here')\n"
        f"def theirs(model, /, *, draws=199, seed=0):\n    {body}\n"
    )
    info = tmp_path / "theirs-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[detectors.motifs]\ntheirs = theirs:theirs\n")
    policy = tmp_path / "a.gate.toml"
    policy.write_text('must = { theirs = "present", trig_logits = "present" }\ndraws = 19\n')
    path = f"{ROOT}{os.pathsep}{tmp_path}"
    done = command("gate", "zoo:d15_transformer", "--policy", policy, "--timeout", "12", PYTHONPATH=path)
    assert done.returncode == code, done.stdout + done.stderr
    assert "gate passed" not in done.stdout
    if code == 1:
        assert "theirs is error (SystemExit: 0); must be present" in done.stdout


@pytest.mark.wide
def test_the_process_that_decides_imports_neither_torch_nor_a_motif(tmp_path):
    (tmp_path / "a.gate.toml").write_text('must = { trig_logits = "absent" }\ndraws = 19\n')
    code = (
        "import sys, detectors.cli as c\n"
        f"sys.argv = ['detectors', 'gate', 'zoo:d15_transformer', '--policy', {str(tmp_path / 'a.gate.toml')!r}]\n"
        "try: c.main()\n"
        "except SystemExit as stopped: assert stopped.code == 1\n"
        "assert not {'torch', 'detectors.motifs.trig_logits', 'models_zoo'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.wide
def test_the_page_and_a_bad_path_come_back(tmp_path):
    found = score_apart("zoo:d15_transformer", {}, draws=19, seed=0, page=True)
    assert found.report["trig_logits"].verdict in ("present", "inconclusive")
    assert "<html" in found.page
    with pytest.raises(DetectorsError, match="no file or folder nowhere"):
        score_apart("nowhere", {}, draws=19, seed=0)


@pytest.mark.wide
def test_a_module_in_the_working_folder_is_not_imported(tmp_path):
    for name in ("json", "torch", "detectors", "queue"):
        (tmp_path / f"{name}.py").write_text("import os; os._exit(0)")
    (tmp_path / "a.gate.toml").write_text('must = { trig_logits = "absent" }\ndraws = 19\n')
    code = "import sys; from detectors.cli import main; sys.argv[0] = 'detectors'; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code, "gate", "zoo:d15_transformer", "--policy", "a.gate.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stderr
