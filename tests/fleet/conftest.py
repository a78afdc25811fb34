"""Tiny checkpoints, a loader that notes its calls, and how to score with one detector and few permutations."""

import os

import pytest
import torch

import detectors
from detectors.report.parquet import read_rows
from models_zoo.architectures import initial_weights

MLP = {"kind": "mlp", "n_tokens": 11, "d_model": 4, "d_mlp": 8, "d_vocab_out": 11}
# notes every call, and does what the name of the file says
LOADER = """
import os, signal, sys, time
from pathlib import Path
import detectors

def load(path, task):
    path = Path(path)
    with open(path.parent / "calls", "a") as calls:
        calls.write(path.name + "\\n")
    if path.name.startswith("kill") or (path.name.startswith("once") and not (path.parent / "died").exists()):
        (path.parent / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if path.name.startswith("exit"):
        sys.exit(0)
    if path.name.startswith("slow"):
        time.sleep(0.4)
    view = detectors.load(path, task=task)
    if path.name.startswith("moving"):
        path.write_bytes(path.read_bytes() + b"more")
    return view
"""


class Models:
    """A folder of models, and one for their rows."""

    def __init__(self, root):
        self.folder, self.rows = root / "models", root / "rows"
        self.folder.mkdir()
        (root / "loader.py").write_text(LOADER)
        self.loader = f"{root / 'loader.py'}:load"

    def add(self, *names):
        for name in names:
            torch.save(initial_weights(MLP, sum(name.encode(errors="surrogateescape"))), self.folder / name)
        return self

    def score(self, *names, **options):
        wanted = [str(self.folder / name) for name in names] or [str(self.folder)]
        asked = {"names": ["trig_logits"], "draws": 19, "task": "add:11", "loader": self.loader}
        return detectors.score_many(wanted, self.rows, **asked | options)

    @property
    def command(self):
        asked = ["-d", "trig_logits", "--draws", "19", "--task", "add:11", "--loader", self.loader]
        return ["run", str(self.folder), "--parquet", str(self.rows), *asked]

    @property
    def calls(self):
        """Names of the files that were scored, as often as they were."""
        file = self.folder / "calls"
        return sorted(file.read_text().split()) if file.exists() else []

    @property
    def kept(self):
        """Rows without what differs from run to run, by file and detector."""
        rows = read_rows(self.rows)
        assert len({(row["checkpoint"], row["detector"]) for row in rows}) == len(rows)
        return {
            (os.path.basename(row["checkpoint"]), row["detector"]): {k: v for k, v in row.items() if k != "seconds"}
            for row in rows
        }


@pytest.fixture
def models(tmp_path):
    return Models(tmp_path)
