"""Files of every container, ways to damage them, and a watch over what reading one does."""

from __future__ import annotations

import argparse
import io
import pickle
import signal
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from hypothesis import strategies as st
from safetensors.torch import save

import detectors
from detectors.core.errors import DetectorsError
from detectors.loading.tensors import read_contents
from models_zoo.architectures import initial_weights
from tests.loading.tricks import BY_HAND, nested_key

SECONDS, BYTES = 10, 2 * 2**30
ALL = 1_000_000  # places in a file are parts of it in millionths


def _torch(value, **form):
    stream = io.BytesIO()
    torch.save(value, stream, **form)
    return stream.getvalue()


def _numpy(write, *args, **arrays):
    stream = io.BytesIO()
    write(stream, *args, **arrays)
    return stream.getvalue()


def good_files() -> list[tuple[str, bytes]]:
    """A file of each container, by its suffix, all of the same small network."""
    weights = initial_weights({"kind": "mlp", "n_tokens": 7, "d_model": 4, "d_mlp": 6, "d_vocab_out": 7}, 0)
    arrays = {name: tensor.numpy() for name, tensor in weights.items()}
    run = {
        "model_state_dict": {f"module.{name}": tensor for name, tensor in weights.items()},
        "optimizer_state_dict": {"state": {0: {"exp_avg": torch.ones(7, 4)}}, "param_groups": [{"lr": 1e-3}]},
        "hyper_parameters": argparse.Namespace(p=7, path=Path("runs")),
        "loss": np.float64(0.5),
        "train_indices": [(0, 1), (2, 3), (4, 4)],
    }
    return [
        (".pt", _torch(weights)),
        (".pt", _torch(weights, _use_new_zipfile_serialization=False)),
        (".ckpt", _torch(run)),
        (".ckpt", _torch(run, _use_new_zipfile_serialization=False)),
        (".pt", _torch({"state_dicts": [weights, weights], "epochs": [0, 100], "train_mask": torch.ones(7, 7).bool()})),
        (".pkl", pickle.dumps(arrays)),
        (".pkl", pickle.dumps(run, protocol=2)),
        (".pkl", pickle.dumps(weights)),
        (".npz", _numpy(np.savez, **arrays)),
        (".npz", _numpy(np.savez_compressed, **arrays)),
        (".npy", _numpy(np.save, arrays)),
        (".safetensors", save(weights, metadata={"step": "3"})),
    ]


GOOD = good_files()
FRAGMENTS = [
    *BY_HAND.values(),
    nested_key(),
    b"\x80\x02",
    b"2\x86" * 40,
    b"r\xff\xff\xff\xff",
    b"PK\x05\x06",
    b"[" * 999,
]
WORDS = [0, 1, 255, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]

place = st.integers(0, ALL)
length = st.integers(1, 64)
damages = st.one_of(
    st.tuples(st.just("cut"), place, length),
    st.tuples(st.just("change"), place, st.integers(0, 255)),
    st.tuples(st.just("delete"), place, length),
    st.tuples(st.just("repeat"), place, length),
    st.tuples(st.just("short word"), place, st.integers(0, len(WORDS) - 1)),
    st.tuples(st.just("word"), place, st.integers(0, len(WORDS) - 1)),
    st.tuples(st.just("insert"), place, st.integers(0, len(FRAGMENTS) - 1)),
    st.tuples(st.just("splice"), place, st.integers(0, len(GOOD) - 1)),
)
# which file; whether an entry of an archive is damaged and packed again with its right checksum; what is done to it
damaged_files = st.tuples(
    st.integers(0, len(GOOD) - 1), st.booleans(), st.lists(damages, min_size=1, max_size=6).map(tuple)
)


def damaged(which: int, inside: bool, what: tuple) -> tuple[str, bytes]:
    suffix, data = GOOD[which]
    if not inside or data[:4] != b"PK\x03\x04":
        return suffix, after(data, what)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    names = [name for name in entries if name.endswith(("data.pkl", ".npy"))]
    chosen = names[what[0][1] % len(names)]
    entries[chosen] = after(entries[chosen], what)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, entry in entries.items():
            archive.writestr(name, entry)
    return suffix, stream.getvalue()


def after(data: bytes, what: tuple) -> bytes:
    """Bytes once so much was done to them."""
    found = bytearray(data)
    for kind, part, argument in what:
        at = part * len(found) // ALL
        match kind:
            case "cut":
                del found[max(at, 1) :]
            case "change":
                found[at : at + 1] = bytes([argument])
            case "delete":
                del found[at : at + argument]
            case "repeat":
                found[at:at] = found[at : at + argument]
            case "short word":
                found[at : at + 4] = (WORDS[argument] % 2**32).to_bytes(4, "little")
            case "word":
                found[at : at + 8] = WORDS[argument].to_bytes(8, "little")
            case "insert":
                found[at:at] = FRAGMENTS[argument]
            case "splice":
                other = GOOD[argument][1]
                found[at:] = other[part * len(other) // ALL :]
    return bytes(found) or b"\0"


WATCHED = ("exec", "import", "pickle.", "os.", "subprocess.", "socket.", "shutil.", "ctypes.", "code.", "urllib.")
_seen: list[str] | None = None


def _told(event: str, args: tuple) -> None:
    if _seen is not None and event.startswith(WATCHED):
        _seen.append(f"{event} {args!r}"[:200])


sys.addaudithook(_told)  # stays for good, and is silent outside of `running_nothing`


@contextmanager
def running_nothing():
    """Fails where what is done inside imports, unpickles, runs or starts anything."""
    global _seen
    _seen = []
    try:
        yield
    finally:
        events, _seen = _seen, None
    assert not events, events


@contextmanager
def bounded():
    """Fails where what is done inside takes ten seconds, or more than two gigabytes."""
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
    assert _peak() - before < BYTES


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def load_or_refuse(folder: Path, which: int, inside: bool, what: tuple) -> str:
    """What became of a damaged file: `read`, or the sentence that refuses it, as a broken checksum is."""
    return bytes_or_refuse(folder, *damaged(which, inside, what))


def bytes_or_refuse(folder: Path, suffix: str, data: bytes) -> str:
    path = folder / f"damaged{suffix}"
    path.write_bytes(data)
    with bounded():
        try:
            with running_nothing():
                read_contents(path)
            view = detectors.load(path, task="add:7")
            view.logits()
        except DetectorsError as error:
            assert str(error)
            return str(error)
    assert all(bool(torch.isfinite(w).all()) for w in view.weights.values())
    if data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
    return "read"


def warmed(folder: Path) -> None:
    """What is imported where it is first needed is there."""
    for which in range(len(GOOD)):
        suffix, data = GOOD[which]
        (folder / f"good{suffix}").write_bytes(data)
        detectors.load(folder / f"good{suffix}", task="add:7").logits()
    for bad in (b"\x80\x02", b"PK\x03\x04", b"\x93NUMPY\x01\x00"):
        (folder / "bad.pt").write_bytes(bad)
        try:
            detectors.load(folder / "bad.pt", task="add:7")
        except DetectorsError:
            continue
