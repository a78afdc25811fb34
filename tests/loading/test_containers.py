"""Damaged, lying and oversized files: every checksum holds, every size is known first, and nothing waits for ever."""

import io
import json
import os
import pickle
import struct
import warnings
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import detectors
from detectors.core.errors import CheckpointError
from detectors.loading import containers
from detectors.loading.containers import read_bytes
from detectors.loading.tensors import read_tensors
from detectors.loading.train_files import read_values

WEIGHTS = {"W": torch.arange(300.0).reshape(20, 15), "b": torch.arange(15.0)}


def saved(**form):
    stream = io.BytesIO()
    torch.save(WEIGHTS, stream, **form)
    return stream.getvalue()


def refused(path, data, message):
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=message):
        read_tensors(path)


def entries(data):
    """Where the bytes of every entry of an archive lie."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
            start = info.header_offset + 30 + name + extra
            yield info, start


def test_a_byte_changed_in_any_entry_of_an_archive_is_seen(tmp_path):
    """Also in a storage that nothing reads: torch does not look at checksums, and reads on."""
    for data, name in ((saved(), "a.pt"), (npz(), "a.npz")):
        for info, start in entries(data):
            broken = bytearray(data)
            broken[start + info.compress_size // 2] ^= 1
            refused(tmp_path / name, bytes(broken), "checksum|is damaged|not a checkpoint")


def npz(compressed=False):
    stream = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(stream, **{name: t.numpy() for name, t in WEIGHTS.items()})
    return stream.getvalue()


def test_a_weight_whose_checksum_is_broken_is_not_scored(tmp_path, mlp):
    torch.save(mlp, tmp_path / "m.pt")
    data = bytearray((tmp_path / "m.pt").read_bytes())
    place = data.index(mlp["W"].numpy().tobytes())
    data[place + 3] ^= 1
    (tmp_path / "m.pt").write_bytes(data)
    assert torch.load(tmp_path / "m.pt", weights_only=True)  # which torch does not mind
    with pytest.raises(CheckpointError, match=r"is damaged: m/data/\d: Bad CRC-32"):
        detectors.load(tmp_path / "m.pt", task="add:7")


@pytest.mark.parametrize("field", [16, 20, 24])
@pytest.mark.parametrize("value", [0, 1, 2**31, 2**32 - 1])
def test_lies_in_the_directory_of_an_archive(tmp_path, field, value):
    """Checksum, packed size and size of the last entry."""
    data = bytearray(saved())
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + field, value)
    refused(tmp_path / "a.pt", bytes(data), r"a\.pt")


def test_lies_of_zip64(tmp_path):
    """An entry that says, in the long form, that it has 2^62 bytes."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}, 2))
        info = zipfile.ZipInfo("a/data/0")
        with archive.open(info, "w", force_zip64=True) as entry:
            entry.write(bytes(64))
    data = bytearray(stream.getvalue())
    directory = data.rindex(b"PK\x01\x02")
    name = struct.unpack_from("<H", data, directory + 28)[0]
    extra = struct.pack("<HHQQ", 1, 16, 2**62, 2**62)
    struct.pack_into("<IIHH", data, directory + 20, 2**32 - 1, 2**32 - 1, name, len(extra))
    at = directory + 46 + name
    data[at:at] = extra
    end = data.rindex(b"PK\x05\x06")
    struct.pack_into("<I", data, end + 12, struct.unpack_from("<I", data, end + 12)[0] + len(extra))
    refused(tmp_path / "a.pt", bytes(data), r"unpacks to 4294967296\.0 GiB")


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(containers, "MAX_GROWTH", 2**27)
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        for k in range(3):
            archive.writestr(f"a/data/{k}", bytes(2**26))
    assert (tmp_path / "a.pt").stat().st_size < 2**20
    with pytest.raises(CheckpointError, match=r"unpacks to 0\.2 GiB; up to 0\.1 GiB more"):
        read_tensors(tmp_path / "a.pt")


def test_a_bomb_that_says_it_is_small(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.writestr("a/data/0", bytes(2**27))
    data = bytearray((tmp_path / "a.pt").read_bytes())
    struct.pack_into("<I", data, data.rindex(b"PK\x01\x02") + 24, 1000)
    refused(tmp_path / "a.pt", bytes(data), "Bad CRC|checksum")


def test_other_ways_of_packing_and_names_twice(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}, 2))
    with pytest.raises(CheckpointError, match="packed in a way"):
        read_tensors(tmp_path / "a.pt")
    with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive, warnings.catch_warnings(action="ignore"):
        archive.writestr("a/data.pkl", pickle.dumps({}, 2))
        archive.writestr("a/data.pkl", pickle.dumps({}, 3))
    with pytest.raises(CheckpointError, match="two entries of the archive have one name"):
        read_tensors(tmp_path / "b.pt")


HEADERS = {
    "more than there is": "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }",
    "less than there is": "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }",
    "negative": "{'descr': '<f8', 'fortran_order': False, 'shape': (-1, -8), }",
    "structured": "{'descr': [('a', '<f8'), ('b', '<f8')], 'fortran_order': False, 'shape': (4,), }",
    "giant type": "{'descr': '|S999999999', 'fortran_order': False, 'shape': (1,), }",
    "objects": "{'descr': '|O', 'fortran_order': False, 'shape': (8,), }",
    "a call": "{'descr': __import__('os').system('true'), 'fortran_order': False, 'shape': (8,), }",
    "deep": "(" * 5000 + ")" * 5000,
    "no header": "hello",
}


@pytest.mark.parametrize("lie", HEADERS)
def test_headers_of_numpy_that_lie(tmp_path, lie):
    text = (HEADERS[lie] + "\n").encode()
    data = b"\x93NUMPY\x02\x00" + struct.pack("<I", len(text)) + text + bytes(64)
    refused(tmp_path / "a.npy", data, r"a\.npy")
    (tmp_path / "i.npy").write_bytes(data)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("W.npy", data)
    with pytest.raises(CheckpointError, match=r"a\.npz"):
        read_tensors(tmp_path / "a.npz")
    with pytest.raises(CheckpointError, match=r"i\.npy"):
        read_values(tmp_path / "i.npy")


def test_tensors_of_stride_zero_are_counted_by_what_they_would_take(tmp_path):
    """A file of some hundred bytes of weights that asks for 22 GB."""
    torch.save({"W_x": torch.zeros(1).expand(74_000, 74_000), "W": torch.zeros(2, 2)}, tmp_path / "a.pt")
    assert (tmp_path / "a.pt").stat().st_size < 2000
    with pytest.raises(CheckpointError, match=r"5\.48e\+09 elements, for which 20\.4 GiB would be needed"):
        read_tensors(tmp_path / "a.pt")
    torch.save({"W": torch.zeros(3, 1).expand(3, 4)}, tmp_path / "b.pt")  # a small one is no harm
    assert read_tensors(tmp_path / "b.pt")["W"].shape == (3, 4)


def test_many_names_of_one_array_are_counted_each(tmp_path):
    big = torch.zeros(2**20)
    torch.save({f"W{k}": big.reshape(2**10, -1) for k in range(200)}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"2\.10e\+08 elements, for which 0\.8 GiB would be needed"):
        read_tensors(tmp_path / "a.pt")


@pytest.mark.parametrize(
    "changed",
    [
        *({"offset": k} for k in (10**6, -1, None)),
        *({"size": s} for s in ((10**6, 2), (-1, 2), (2.5, 2), (2,) * 40, "ab", (2**60, 0))),
        *({"stride": s} for s in ((10**6, 1), (1,), None)),
    ],
)
def test_tensors_that_reach_beyond_their_bytes(tmp_path, changed):
    said = {"offset": 0, "size": (2, 2), "stride": (2, 1), **changed}

    class Lie:
        def __reduce__(self):
            return torch._utils._rebuild_tensor_v2, (
                torch.zeros(4).storage(), said["offset"], said["size"], said["stride"], False, {},
            )  # fmt: skip

    with warnings.catch_warnings(action="ignore"):  # that typed storages are old
        torch.save({"W": Lie()}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=r"W: a tensor in it|a tensor in it|not a dense"):
        read_tensors(tmp_path / "a.pt")


def test_pipes_and_devices_are_no_files(tmp_path, mlp):
    os.mkfifo(tmp_path / "pipe.pt")
    torch.save(mlp, tmp_path / "m.pt")
    for path in (tmp_path / "pipe.pt", "/dev/zero", "/dev/null"):
        with pytest.raises(CheckpointError, match="is no regular file"):
            detectors.load(path, task="add:7")
        with pytest.raises(CheckpointError, match="is no regular file"):
            detectors.load(tmp_path / "m.pt", task="add:7", train_indices=path)
    (tmp_path / "folder").mkdir()
    save_file(mlp, tmp_path / "folder" / "model.safetensors")
    os.mkfifo(tmp_path / "folder" / "config.json")
    with pytest.raises(CheckpointError, match="is no regular file"):
        detectors.load(tmp_path / "folder", task="add:7")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    def denied(*args, **kwargs):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "a.pt").write_bytes(saved())
    monkeypatch.setattr(containers.os, "open", denied)
    with pytest.raises(CheckpointError, match=r"a\.pt cannot be read: .*Permission denied"):
        read_bytes(tmp_path / "a.pt")


def test_safetensors_of_deep_and_lying_headers(tmp_path):
    deep = ("[" * 5000).encode()
    refused(tmp_path / "a.safetensors", struct.pack("<Q", len(deep)) + deep, r"a\.safetensors")
    refused(tmp_path / "a.safetensors", struct.pack("<Q", 2**62) + b"{}", r"a\.safetensors")
    header = json.dumps({"W": {"dtype": "F32", "shape": [2**31, 2**31], "data_offsets": [0, 16]}}).encode()
    refused(tmp_path / "a.safetensors", struct.pack("<Q", len(header)) + header + bytes(16), r"a\.safetensors")


@pytest.mark.parametrize("cut", [1, 30, 200])
def test_older_files_that_end_early(tmp_path, cut):
    refused(tmp_path / "a.pt", saved(_use_new_zipfile_serialization=False)[:-cut], "ends within a storage|damaged")


def test_names_in_messages_are_visible(tmp_path):
    torch.save({"W\n::error::\x1b[31m": torch.zeros(1).expand(2**16, 2**16).t()[:, ::2]}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError) as caught:
        read_tensors(tmp_path / "a.pt")
    assert "\x1b" not in str(caught.value)
    pickled = b"\x80\x04\x8c\x04os\n!\x8c\x05sy\x1b[m\x93)R."
    refused(tmp_path / "b.pkl", pickled, r"os\\n!\.sy\\x1b\[m")


def test_older_pickles_and_storages_of_every_type(tmp_path):
    types = [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8]
    weights = {
        str(t): torch.arange(6).reshape(2, 3).to(t).t() for t in (*types, torch.uint8, torch.bool, torch.float32)
    }
    for legacy in (False, True):
        torch.save(weights, tmp_path / "a.pt", _use_new_zipfile_serialization=not legacy)
        read = read_tensors(tmp_path / "a.pt")
        for name, tensor in weights.items():
            assert torch.equal(read[name], tensor.float() if tensor.is_floating_point() else tensor)
    (tmp_path / "b.pkl").write_bytes(pickle.dumps(weights))  # storages as pickles within the pickle
    assert torch.equal(read_tensors(tmp_path / "b.pkl")["torch.float16"], weights["torch.float16"].float())


def test_sparse_and_quantised_tensors_are_refused(tmp_path):
    with warnings.catch_warnings(action="ignore"):  # that quantised tensors are old
        quantised = torch.quantize_per_tensor(torch.eye(3), 0.1, 0, torch.qint8)
    for tensor in (torch.eye(3).to_sparse(), quantised):
        torch.save({"W": tensor, "V": torch.eye(3)}, tmp_path / "a.pt")
        with pytest.raises(CheckpointError, match="W: it is not a dense tensor"):
            read_tensors(tmp_path / "a.pt")
