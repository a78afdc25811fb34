"""Loaders of the user's: what lies beside them, what they raise and where, and a file replaced under their hands."""

import re
import shutil
import sys

import pytest

import detectors
from detectors.core.errors import CheckpointError
from models_zoo.cards import WEIGHTS

# an error whose words end the process with code 0
MUTE = "class Mute(BaseException):\n    def __str__(self): raise SystemExit(0)\n"
MODEL = WEIGHTS / "d15_transformer"


@pytest.fixture
def loading(tmp_path, monkeypatch):
    """Loads a model through a loader of this text."""
    monkeypatch.setattr(sys, "path", list(sys.path))

    def load(text, path=MODEL, name="mine"):
        (tmp_path / f"{name}.py").write_text(text)
        return detectors.load(path, task="compose:D15", loader=f"{tmp_path / name}.py:load")

    return load


def test_a_loader_imports_its_neighbours_also_later_and_may_define_dataclasses(loading, tmp_path):
    (tmp_path / "beside_the_loader.py").write_text("import detectors\nread = detectors.load\n")
    text = """
from __future__ import annotations
from dataclasses import dataclass
@dataclass
class Settings:
    path: str
def load(path, task):
    from beside_the_loader import read
    return read(Settings(path).path)
"""
    assert loading(text).task.spec == "compose:D15"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def load(path, task):\n    x = 1\n    return {}['E']", "raised KeyError: 'E' (mine.py, line 3)"),
        ("def load(path, task):\n    import torch\n    torch.zeros(2) @ torch.zeros(3)", "(mine.py, line 3)"),
        ("import torch\n\ntorch.load('nowhere')", "(mine.py, line 3)"),
        ("def load(path, task)\n    return 3", "SyntaxError: expected ':' (mine.py, line 1)"),
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module' (mine.py, line 1)"),
        ("raise SystemExit(0)", "exits when it is imported, SystemExit: 0 (mine.py, line 1): a script that runs"),
        ("def load(path, task):\n    exit()", "raised SystemExit: None (mine.py, line 2)"),
        (f"{MUTE}def load(path, task):\n    raise Mute", "raised Mute: and raises when it is asked what for"),
        (f"{MUTE}raise Mute", "Mute: and raises when it is asked what for"),
        ("x = 1", "has no attribute 'load'"),
        ("def load(path, task):\n    return 3", "returned int, not a detectors.ModelView"),
    ],
)
def test_an_error_carries_file_and_line(loading, text, words):
    with pytest.raises(CheckpointError, match=re.escape(words)):
        loading(text)


def test_a_forward_pass_that_raises_carries_file_and_line(loading):
    text = """import detectors
def load(path, task):
    view = detectors.load(path)
    def forward(tokens, hook):
        raise SystemExit("no")
    view.network.forward = forward
    view.__dict__.pop("_shapes", None)
    return view
"""
    with pytest.raises(CheckpointError, match=r"forward pass raised SystemExit: no \(mine.py, line 5\)"):
        loading(text)


def test_no_loader_there(tmp_path):
    for loader, words in (("no.py:load", "no file no.py"), ("json:nothing", "no attribute"), ("json", "write package")):
        with pytest.raises(CheckpointError, match=words):
            detectors.load(MODEL, task="compose:D15", loader=loader)


@pytest.mark.parametrize("how", ["replaced", "rewritten"])
def test_a_checkpoint_that_another_takes_the_place_of_while_it_is_read(loading, tmp_path, how):
    folder = tmp_path / "model"
    shutil.copytree(MODEL, folder)
    change = {
        "replaced": "shutil.copy(file, path / 'b'); os.replace(path / 'b', file)",
        "rewritten": "data = file.read_bytes(); file.write_bytes(data)",
    }[how]
    text = f"""
import detectors, os, shutil, time
def load(path, task):
    view = detectors.load(path)
    file = path / 'model.safetensors'
    time.sleep(0.05)
    {change}
    return view
"""
    with pytest.raises(CheckpointError, match="was written to while it was read"):
        loading(text, folder)


def test_models_of_others_that_exit_are_an_error_in_words(monkeypatch):
    class Entry:
        name = "theirs"

        def load(self):
            raise SystemExit(0)

    monkeypatch.setattr("detectors.loading.load.entry_points", lambda group: [Entry()])
    with pytest.raises(CheckpointError, match="theirs:x: SystemExit: 0"):
        detectors.load("theirs:x")
