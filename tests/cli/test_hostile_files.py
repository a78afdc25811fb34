"""Whatever is wrong with a file, `run` and `gate` say a sentence and end in code 2."""

import ast
import errno
import io
import json
import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from detectors.cli import main
from models_zoo.architectures import initial_weights
from tests.loading.tricks import BY_HAND, nested_key

MLP = {"kind": "mlp", "n_tokens": 13, "d_model": 4, "d_mlp": 8, "d_vocab_out": 13}
POLICY = 'must = { trig_logits = "present" }\n'


@pytest.fixture
def ended(monkeypatch, capsys):
    """The command as it is installed: its exit code, and all that it says, on one line."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["detectors", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capsys.readouterr()
        return stopped.value.code, " ".join((said.out + said.err).split())

    return call


def damaged_storage(path):
    weights = initial_weights(MLP, 0)
    torch.save(weights, path / "m.pt")
    data = bytearray((path / "m.pt").read_bytes())
    data[data.index(weights["W"].numpy().tobytes())] ^= 1
    (path / "m.pt").write_bytes(data)
    return path / "m.pt"


def stride_zero(path):
    torch.save({"W_x": torch.zeros(1).expand(74_000, 74_000)}, path / "m.pt")
    return path / "m.pt"


def whole_module(path):
    torch.save(torch.nn.Linear(3, 4), path / "m.pt")
    return path / "m.pt"


def pipe(path):
    os.mkfifo(path / "m.pt")
    return path / "m.pt"


def written(name, data):
    def write(path):
        (path / name).write_bytes(data)
        return path / name

    return write


def folder(config):
    def write(path):
        save_file(initial_weights(MLP, 0), path / "model.safetensors")
        (path / "config.json").write_text(config)
        return path

    return write


def bomb(path):
    with zipfile.ZipFile(path / "m.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}))
        archive.writestr("a/data/0", bytes(2**29 + 2**28))
    return path / "m.pt"


FILES = {
    "checksum": (damaged_storage, "is damaged: m/data/2: Bad CRC-32"),
    "stride of zero": (stride_zero, "20.4 GiB would be needed"),
    "whole module": (whole_module, "torch.save(model.state_dict(), "),
    "pipe": (pipe, "is no regular file"),
    "device": (lambda path: "/dev/zero", "is no regular file"),
    "nested key": (written("m.pkl", nested_key()), "holds no weights"),
    "os.system": (written("m.pkl", BY_HAND["global of os"]), "asks for os.system"),
    "deep JSON": (folder("[" * 100_000), "cannot be read"),
    "op of a list": (folder(json.dumps({"model": {}, "task": {"op": [], "p": 13}})), "`op` is no text"),
    "header of NumPy": (written("m.npy", b"\x93NUMPY\x01\x00\x08\x00" + b"{'a': 1}"), "not a checkpoint"),
    "bomb": (bomb, "unpacks to 0.8 GiB"),
    "nothing": (written("m.pt", b""), "is empty"),
}


@pytest.mark.sampled(12)
@pytest.mark.parametrize("kind", FILES)
def test_a_hostile_file_is_a_sentence_and_code_2(ended, tmp_path, kind):
    make, message = FILES[kind]
    (tmp_path / "in").mkdir()
    path = make(tmp_path / "in")
    (tmp_path / "p.gate.toml").write_text(POLICY)
    task = [] if kind == "op of a list" else ["--task", "add:13"]
    for command in (["run", path, *task], ["gate", path, "--policy", tmp_path / "p.gate.toml", *task]):
        code, said = ended(*command)
        assert code == 2, said
        assert message in said
        assert "Traceback" not in said


@pytest.mark.parametrize("task", ["add:2048", "compose:C2000"])
def test_a_table_that_does_not_fit_is_a_sentence_and_code_2(ended, tmp_path, task):
    torch.save({"W_x": torch.zeros(1).expand(2048, 4)}, tmp_path / "m.pt")
    code, said = ended("run", tmp_path / "m.pt", "--task", task)
    assert code == 2
    assert "GiB of memory" in said


def test_a_table_in_a_file_that_lies(ended, tmp_path):
    torch.save(initial_weights(MLP, 0), tmp_path / "m.pt")
    np.save(tmp_path / "t.npy", np.zeros((13, 13), dtype=int))
    data = (tmp_path / "t.npy").read_bytes()
    (tmp_path / "t.npy").write_bytes(data.replace(b"(13, 13)", b"(99999999999, 99999999999)"))
    os.mkfifo(tmp_path / "pipe.npy")
    for table in ("t.npy", "pipe.npy"):
        code, said = ended("run", tmp_path / "m.pt", "--task", f"table:{tmp_path / table}")
        assert code == 2
        assert table in said
        assert "Traceback" not in said


@pytest.mark.wide
def test_a_step_is_an_option_of_both_commands(ended, tmp_path):
    torch.save({k: initial_weights(MLP, k) for k in (0, 5)}, tmp_path / "m.pt")
    code, said = ended("run", tmp_path / "m.pt", "--task", "add:13", "--step", "0", "--draws", "19")
    assert code == 0
    assert "state 0 of 2." in said
    (tmp_path / "p.gate.toml").write_text(POLICY)
    code, said = ended(
        "gate", tmp_path / "m.pt", "--policy", tmp_path / "p.gate.toml", "--task", "add:13", "--step", "3"
    )
    assert code == 2
    assert "none of them is --step 3" in said


EVIL = "x\n::error::y\x1b[31m\u202e[/red]"
TOO_LONG = "x" * 300


def test_names_out_of_a_file_stay_on_their_line(ended, tmp_path):
    """A tensor's also where it is what was not recognised, and as no markup of a table."""
    torch.save({EVIL: torch.zeros(5, 5, 5)}, tmp_path / "m.pt")
    for command in (["run", tmp_path / "m.pt", "--task", "add:13"], ["inspect", tmp_path / "m.pt"]):
        _, said = ended(*command)
        assert r"x\n\x3a:error\x3a:y\x1b[31m\u202e[/red]" in said
        assert not {"\x1b", "\u202e"} & set(said)


def test_a_file_with_a_line_break_in_its_name_is_refused_wherever_it_lies(ended, tmp_path):
    torch.save(initial_weights(MLP, 0), tmp_path / "m\n::error::.pt")
    for path in (tmp_path, tmp_path / "m\n::error::.pt"):
        for command in (["run", path, "--task", "add:13"], ["inspect", path]):
            code, said = ended(*command)
            assert code == 2
            assert r"m\n\x3a:error\x3a:.pt has a line break or a control character in its name" in said


def test_a_loader_that_is_written_quotes_the_name_of_the_file(ended, tmp_path):
    """A name may end the docstring that it stands in, and go on as code."""
    name = 'm"""; raise SystemExit("ran"); """.pt'
    torch.save({"odd": torch.zeros(5, 5, 5)}, tmp_path / name)
    ended("inspect", tmp_path / name, "--emit-loader", tmp_path / "l.py")
    body = ast.parse((tmp_path / "l.py").read_text()).body
    assert [type(line).__name__ for line in body] == [
        "Expr",
        "Import",
        "Import",
        "ImportFrom",
        "ClassDef",
        "FunctionDef",
    ]


def test_a_name_that_is_too_long_or_leads_to_itself_is_a_sentence(ended, tmp_path):
    torch.save(initial_weights(MLP, 0), tmp_path / "m.pt")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    known = ["run", tmp_path / "m.pt", "--task", "add:13", "-d", "trig_logits", "--draws", "19"]
    for command in (
        ["run", TOO_LONG, "--task", "add:13"],
        ["inspect", TOO_LONG],
        [*known, "--train-indices", TOO_LONG],
        [*known, "--json", f"{TOO_LONG}/x.json"],
        ["run", tmp_path / "m.pt", "--task", f"table:{TOO_LONG}"],
        ["inspect", tmp_path / "m.pt", "--emit-loader", tmp_path / "loop"],
    ):
        code, said = ended(*command)
        assert code == 2, said


def test_what_a_disk_does_not_take_is_a_sentence(ended, tmp_path, monkeypatch):
    torch.save(initial_weights(MLP, 0), tmp_path / "m.pt")

    class Full(io.StringIO):
        def write(self, text):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    code, said = ended("run", tmp_path / "m.pt", "--task", "add:13", "-d", "trig_logits", "--draws", "19")
    assert code == 2
    assert "No space left" in said


def test_a_configuration_whose_task_has_no_end_is_a_short_sentence(ended, tmp_path):
    code, said = ended("run", folder(json.dumps({"task": {"op": "compose", "group": "xC1" * 99_999}}))(tmp_path))
    assert code == 2
    assert "the task has a name of 300005 letters" in said
    assert len(said) < 400


DIGITS = "9" * 5000  # more than Python makes a number of


@pytest.mark.parametrize("task", [f"add:{DIGITS}", f"sort:{DIGITS}", f"digits:{DIGITS}", f"compose:C{DIGITS}"])
def test_a_task_of_five_thousand_digits_is_a_sentence(ended, tmp_path, task):
    torch.save(initial_weights(MLP, 0), tmp_path / "m.pt")
    assert ended("run", tmp_path / "m.pt", "--task", task)[0] == 2


def test_a_tensor_whose_name_has_no_end_is_a_sentence(ended, tmp_path):
    torch.save({f"blocks.{DIGITS}.attn.W_Q": torch.zeros(2, 4, 8), "embed.W_E": torch.zeros(8, 14)}, tmp_path / "m.pt")
    code, said = ended("run", tmp_path / "m.pt", "--task", "add:13")
    assert code == 2
    assert "has a name of 5016 letters: blocks.999" in said
    assert len(said) < 400


@pytest.mark.parametrize("passes", [2, 3])
@pytest.mark.parametrize("raised", ["SystemExit(0)", "ValueError('odd')"])
def test_a_network_that_exits_at_a_later_pass_does_not_choose_the_code(ended, tmp_path, passes, raised):
    torch.save(initial_weights(MLP, 0), tmp_path / "m.pt")
    (tmp_path / "late.py").write_text(
        "import detectors\n"
        "def load(path, task):\n"
        "    view = detectors.load(path, task=task)\n"
        "    real, calls = view.network.forward, []\n"
        "    def forward(tokens, hook):\n"
        "        calls.append(1)\n"
        f"        if len(calls) >= {passes}: raise {raised}\n"
        "        return real(tokens, hook)\n"
        "    view.network.forward = forward\n"
        "    return view\n"
    )
    arguments = ("--loader", f"{tmp_path / 'late.py'}:load", "-d", "trig_logits", "--draws", "19")
    code, said = ended("run", tmp_path / "m.pt", "--task", "add:13", *arguments)
    assert code == 2
    assert "late.py, line 7" in said
