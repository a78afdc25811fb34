"""Pickles are data: whatever they ask for, nothing is imported, called or set, and bombs end in a sentence."""

import ast
import enum
import io
import pickle
import pickletools
import subprocess
import sys
import textwrap
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path, PosixPath

import numpy as np
import pytest
import torch

from detectors.core.errors import CheckpointError
from detectors.loading import names, unpickle
from detectors.loading.tensors import read_contents, read_tensors
from detectors.loading.unpickle import Inert, Pickle
from tests.loading.tricks import BY_HAND, nested_key

WEIGHTS = {"W": torch.arange(6.0).reshape(2, 3)}

CANARY = """
import builtins
RAN = builtins.__dict__.setdefault("canary_ran", [])
RAN.append("import")

def ran(*args, **kwargs):
    RAN.append(args)

class Told(type):
    def __call__(cls, *args, **kwargs):
        RAN.append(("call", cls.__name__))
        return super().__call__(*args, **kwargs)

class Plain(metaclass=Told):
    def __new__(cls, *args, **kwargs):
        RAN.append("new")
        return super().__new__(cls)
    def __init__(self, *args):
        self.width = 3
    def __setstate__(self, state):
        RAN.append("setstate")
        self.__dict__.update(state)
    def __setattr__(self, name, value):
        RAN.append("setattr")
        super().__setattr__(name, value)
    def __getattr__(self, name):
        RAN.append("getattr")
        raise AttributeError(name)

class Slots(Plain):
    __slots__ = ("width",)

class NewArgs(Plain):
    def __getnewargs_ex__(self):
        return (1, 2), {"c": 3}

class Dict(dict):
    def __setitem__(self, key, value):
        RAN.append("setitem")
        super().__setitem__(key, value)

class List(list):
    def append(self, value):
        RAN.append("append")
    def extend(self, values):
        RAN.append("extend")

class Reduced:
    def __reduce__(self):
        return ran, ("reduce",)

class ReducedFully(Plain):
    def __reduce_ex__(self, protocol):
        return ran, ("reduce_ex",), {"width": 3}, iter([1]), iter([(1, 2)])

class Setter(Plain):
    def __reduce__(self):
        return Plain, (), {"width": 3}, None, None, ran

class Hashed:
    def __hash__(self):
        RAN.append("hash")
        return 1
    def __eq__(self, other):
        RAN.append("eq")
        return True
"""


@pytest.fixture
def canary(tmp_path, monkeypatch):
    """A module that keeps an account of whatever is done to it; gives the module, and a way to forget it."""
    (tmp_path / "canary.py").write_text(CANARY)
    monkeypatch.syspath_prepend(tmp_path)
    import canary as module

    yield module
    sys.modules.pop("canary", None)


def forgotten(module):
    """As if it had never been imported."""
    sys.modules.pop("canary", None)
    module.RAN.clear()
    return module.RAN


def in_containers(path, value, protocol):
    """A value by itself and in both of torch's forms, its storages where they are."""
    bare, archive, old = path / "bare.pkl", path / "archive.pt", path / "old.pt"
    bare.write_bytes(pickle.dumps(value, protocol))
    if protocol == 0:  # in which torch itself cannot say where its storages are
        return (bare,)
    torch.save(value, archive, pickle_protocol=protocol)
    torch.save(value, old, pickle_protocol=protocol, _use_new_zipfile_serialization=False)
    return bare, archive, old


HARMLESS = ["Plain", "Slots", "NewArgs", "Dict", "List"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", HARMLESS)
def test_an_object_beside_the_weights_is_a_stand_in_none_of_whose_methods_run(tmp_path, canary, kind, protocol):
    if protocol < {"Slots": 2, "NewArgs": 4}.get(kind, 0):
        pytest.skip("older than slots, and than arguments of __new__ by name, which were a call of getattr")
    thing = getattr(canary, kind)()
    if kind == "Dict":
        thing["width"] = 3
    if kind == "List":
        list.append(thing, 3)
    files = in_containers(tmp_path, {"config": thing, "state_dict": WEIGHTS}, protocol)
    ran = forgotten(canary)
    for file in files:
        contents = read_contents(file)
        assert torch.equal(contents.weights["W"], WEIGHTS["W"])
        assert contents.says["config"] == ([3] if kind == "List" else {"width": 3})
    assert ran == []
    assert "canary" not in sys.modules
    del thing


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("kind", ["Reduced", "ReducedFully", "Setter"])
def test_a_call_is_refused_by_name_and_not_made(tmp_path, canary, kind, protocol):
    thing = getattr(canary, kind)()
    files = in_containers(tmp_path, {"config": thing, "state_dict": WEIGHTS}, protocol)
    ran = forgotten(canary)
    for file in files:
        with pytest.raises(CheckpointError, match=r"code in it and was not run: it asks for canary\.(ran|Plain)"):
            read_contents(file)
    assert ran == []
    assert "canary" not in sys.modules
    del thing


def test_keys_are_hashed_only_where_their_hash_is_pythons_own(tmp_path, canary):
    files = in_containers(tmp_path, {"by": {canary.Hashed(): 1, (1, 2): 3}, "state_dict": WEIGHTS}, 2)
    ran = forgotten(canary)
    for file in files:
        assert read_tensors(file).keys() == {"W"}
    assert ran == []


@pytest.mark.parametrize("trick", BY_HAND)
@pytest.mark.parametrize("place", ["alone", "beside"])
def test_tricks_by_hand(tmp_path, canary, trick, place):
    data = BY_HAND[trick]
    if place == "beside":  # weights that are good, and the trick behind them
        weights = pickle.dumps(WEIGHTS, 2).removesuffix(b".")
        data = weights + data.replace(b"\x80\x02", b"", 1)[:-1] + b"\x86."
    (tmp_path / "x.pkl").write_bytes(data)
    ran = forgotten(canary)
    try:
        read = read_tensors(tmp_path / "x.pkl")
    except CheckpointError as error:
        assert str(error)
    else:
        assert place == "beside"
        assert torch.equal(read["W"], WEIGHTS["W"])
    assert ran == []
    assert "canary" not in sys.modules


def test_nothing_in_the_reader_could_run_anything():
    """Its calls are of its own functions, of methods by name of lists, dictionaries and strings, and of types; and what
    it imports of others is the table of opcodes.
    """
    tree = ast.parse(Path(unpickle.__file__).read_text())
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported == {"pickletools"}
    assert modules == {"__future__", "collections.abc", "dataclasses", "typing", "detectors.loading.names"}
    identifiers = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert not identifiers & {"getattr", "setattr", "eval", "exec", "compile", "__import__", "vars", "globals", "type"}
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    local = {"method", "kind"}  # of `_two`, given functions of this file, and of `_push_new`, given list, dict, tuple
    own = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    builtin = {"isinstance", "enumerate", "len", "map", "zip", "tuple", "dict", "list", "set"}
    assert called <= own | builtin | local | {"dataclass", "harmless", "callable_as_data", "name_of"}


def test_every_opcode_of_python_is_known():
    assert {opcode.name for opcode in pickletools.opcodes} == unpickle._OPCODES.keys()


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_are_those_of_pythons_own_unpickler(protocol):
    plain = {
        "a": [1, -(2**40), 2**70, 1.5, float("inf"), True, None, "text ü\n", b"bytes\x00", ""],
        "b": {"c": (), "d": (1,), "e": (1, 2), "f": (1, 2, 3), "g": (1, 2, 3, 4), 5: [], 2.5: {}, None: 0, True: 1},
    }
    plain["again"] = plain["a"]
    found = Pickle(io.BytesIO(pickle.dumps(plain, protocol))).read()
    if protocol < 3:  # in which bytes are a call of _codecs.encode
        found["a"][8], found["again"][8] = b"bytes\x00", b"bytes\x00"
    assert found == plain
    assert found["again"] is found["a"]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_containers_of_the_library_are_plain(protocol):
    value = [OrderedDict(a=1), defaultdict(list, {"b": [2]}), Counter("aa"), deque([1, 2]), {3}, frozenset({4})]
    found = Pickle(io.BytesIO(pickle.dumps(value, protocol))).read()
    assert found == [{"a": 1}, {"b": [2]}, {"a": 2}, [1, 2], [3], [4]]


def test_enum_members_and_paths_say_their_value(tmp_path):
    torch.save({"model": WEIGHTS, "colour": Colour.RED, "path": PosixPath("runs/a")}, tmp_path / "c.pt")
    says = read_contents(tmp_path / "c.pt").says
    assert (says["colour"], says["path"]) == ("red", "runs/a")


BOMBS = {
    "key of nested tuples": nested_key(),
    "lists of lists": b"\x80\x02}X\x05\x00\x00\x00model}(X\x01\x00\x00\x00W](K\x01" + b"l" + b"2l2" * 0 + b"uu.",
    "memo place": b"\x80\x02Nr\xff\xff\xff\xff0N.",
    "memo place in words": b"Np99999999999999999999\n.",
    "integer": b"\x80\x02\x8b\xff\xff\xff\x7f" + b"\xff" * 64 + b".",
    "long integer": b"I" + b"9" * 5000 + b"\n.",
    "eight exabytes of text": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f.",
    "bytearray": b"cbuiltins\nbytearray\n(L99999999999L\ntR.",
    "range": b"cbuiltins\nlist\n(cbuiltins\nrange\n(L99999999999L\ntRtR.",
    "deep": b"(" * 100_000 + b"t" * 100_000 + b".",
    "deep lists": b"]" * 200_000 + b"a" * 199_999 + b".",
    "own item": b"\x80\x02]q\x00h\x00a.",
    "own value": b"\x80\x02}q\x00X\x05\x00\x00\x00modelh\x00s.",
}


def doubled(levels=40):
    """A dictionary in which every level holds the level below twice: 2^levels values to who walks it as a tree."""
    inner = pickle.dumps({"W_x": [1, 2]}, 2).removesuffix(b".")
    return (
        inner
        + b"".join(b"q%c}(X\x01\x00\x00\x00ah%cX\x01\x00\x00\x00bh%cu" % (k, k, k) for k in range(100, 100 + levels))
        + b"."
    )


BOMBS["shared dictionaries"] = doubled()


def text(word):
    return b"X" + len(word).to_bytes(4, "little") + word.encode()


def many(made, keys=100_000, wrap=b"}("):
    """One thing, of ten thousand parts or more, under a hundred thousand names."""
    body = b"".join(text(f"epoch{k}") + b"h\x01" for k in range(keys))
    return b"\x80\x02" + made.replace(b"\x80\x02", b"")[:-1] + b"q\x010" + wrap + body + b"u."


STATE = {f"W{k}": torch.zeros(1).expand(2, 2) for k in range(3000)}
BOMBS["one state under many keys"] = many(pickle.dumps(STATE, 2), keys=30_000)
BOMBS["one list under many keys"] = many(pickle.dumps([*range(9999)], 2))
BOMBS["one text under many keys"] = many(pickle.dumps(b"a" * 2**20, 2))
BOMBS["one array under many keys"] = many(pickle.dumps(np.zeros((2, 2)), 2), keys=500_000)
BOMBS["one storage under many keys"] = many(pickle.dumps(torch.zeros(9, 9), 2), keys=500_000)
BOMBS["a name of many components"] = pickle.dumps({"model." * 200_000 + "W": np.zeros((2, 2))}, 2)
DEEP_LIST = b"]" * 9999 + b"a" * 9998
BOMBS["a deep list beside"] = b"\x80\x02}(" + text("x") + DEEP_LIST + text("y") + b"Nu."


@pytest.mark.wide
def test_bombs_end_soon(tmp_path):
    """In a process of its own, of two gigabytes, and ten seconds for each."""
    for name, bomb in BOMBS.items():
        (tmp_path / f"{name}.pkl").write_bytes(bomb)
    script = """
        import resource, signal, sys
        from pathlib import Path
        from detectors.core.errors import CheckpointError
        from detectors.loading.tensors import read_contents
        import torch
        resource.setrlimit(resource.RLIMIT_DATA, (2 * 2**30, 2 * 2**30))
        for file in sorted(Path(sys.argv[1]).glob("*.pkl")):
            signal.alarm(10)
            print(file.stem, flush=True)
            try:
                read_contents(file)
                print("read")
            except CheckpointError as error:
                print("said:", str(error)[:200].splitlines()[0])
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True)
    said = [line for line in found.stdout.splitlines() if line.startswith(("said: ", "read"))]
    assert len(said) == len(BOMBS), found.stdout[-500:] + found.stderr[-2000:]


def test_names_are_judged_by_what_they_are():
    for name in (
        "os.system",
        "builtins.eval",
        "posix.system",
        "subprocess.Popen",
        "collections.abc.Mapping",
        ".system",
    ):
        assert not names.harmless(name)
    for name in ("grokking.Config", "__main__.Config", "argparse.Namespace", "numpy.float64", "torch.float32"):
        assert names.harmless(name)
    assert names.name_of("__builtin__", "set") == "builtins.set"
    assert names.name_of("numpy.core.multiarray", "scalar") == "numpy._core.multiarray.scalar"
    assert not names.callable_as_data("torch.load", ("x.pt",))
    assert not names.callable_as_data("canary.run", ("x",))
    assert names.callable_as_data("mine.Colour", ("red",))
    assert Inert("a", "name") != Inert("a", "name")


def test_the_canary_sings_to_pythons_own_unpickler(canary):
    data = pickle.dumps(canary.Reduced())
    ran = forgotten(canary)
    pickle.loads(data)
    assert ran
