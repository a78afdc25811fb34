"""What lies in a file, whatever wrote it: torch's archives and its older files, NumPy's, safetensors and pickles.

Files come from strangers: nothing in one is run, its checksums hold or it is not read, and sizes are checked before
anything is made.
"""

from __future__ import annotations

import io
import json
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from detectors.core.errors import CheckpointError
from detectors.core.visible import visible
from detectors.loading.arrays import Refused, Storages, legacy, no_storages, read_pickle
from detectors.loading.plain import plain
from detectors.loading.unpickle import Damaged

MAX_BYTES = 4 * 2**30
MAX_ENTRIES = 50_000  # of an archive: a storage is one, and an optimiser has three for each of the model's
MAX_GROWTH = 2**29  # what may be unpacked beyond the bytes that are there, and what tensors may take beyond those


MAX_VALUES = 4_000_000  # of a file of training pairs


def read_bytes(file: Path, limit: int | None = None) -> bytes:
    """All of a regular file, read once. Errors: CheckpointError, also for pipes and devices, which may never end."""
    limit = limit or MAX_BYTES
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        with open(os.open(file, flags), "rb") as stream:
            said = os.fstat(stream.fileno())
            if not stat.S_ISREG(said.st_mode):
                raise CheckpointError(f"{file} is no regular file")
            if said.st_size > limit:
                raise CheckpointError(
                    f"{file} has {said.st_size / 2**30:.1f} GiB; files up to {limit / 2**30:.0f} GiB are read"
                )
            data = stream.read(said.st_size + 1)
    except FileNotFoundError:
        raise CheckpointError(f"no file {file}") from None
    except CheckpointError:
        raise
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {first_line(error)}") from None
    if not data:
        raise CheckpointError(f"{file} is empty")
    return data


def read_plain(path: Path, limit: int) -> Any:
    """What a file of torch or NumPy holds, in plain values and arrays. Errors as of `read_contents`."""
    data = read_bytes(path, limit)
    tree, storages = whole(path, lambda: tree_of(data, path.suffix))
    return whole(path, lambda: plain(tree, storages, [MAX_VALUES]))


def whole(file: Path, read: Callable[[], Any]) -> Any:
    """What a step of reading gives, its errors as sentences about the file."""
    try:
        return read()
    except CheckpointError as error:
        raise CheckpointError(
            f"{file}{' ' if str(error)[:5] == 'holds' else ': '}{str(error).replace('FILE', str(file))}"
        ) from None
    except Refused as error:
        names = ", ".join(short(name) for name in error.args[0][:12])
        raise CheckpointError(
            f"{file} is a pickle with code in it and was not run: it asks for {names}. "
            "Save the weights alone, as a state dict or as safetensors"
        ) from None
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # damaged files raise whatever their bytes lead to, a panic of Rust's too
        raise CheckpointError(f"{file} is not a checkpoint, or is damaged: {first_line(error)}") from None


def tree_of(data: bytes, suffix: str) -> tuple[Any, Storages]:
    """What a file holds, its arrays unread, and where their bytes are. Errors: of any kind, for `whole` to word."""
    if suffix == ".safetensors" or (data[8:9] == b"{" and int.from_bytes(data[:8], "little") < len(data)):
        return _safetensors(data), no_storages()
    if data[:4] == b"PK\x03\x04":
        return _archive(data)
    if data[:6] == b"\x93NUMPY":
        return npy(data), no_storages()
    return legacy(io.BytesIO(data))


def npy(data: bytes) -> Any:
    """What a .npy file holds: an array over its bytes, or what is pickled in it. Errors: ValueError and the like."""
    stream = io.BytesIO(data)
    version = npy_format.read_magic(stream)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    size, fortran, dtype = read(stream)
    if dtype.hasobject:
        return read_pickle(stream)
    body = memoryview(data)[stream.tell() :]
    if dtype.kind not in "biufSU" or math.prod(size) * dtype.itemsize != len(body):
        raise Damaged("its header speaks of another size than it has")
    return np.frombuffer(body, dtype).reshape(size, order="F" if fortran else "C")


def _safetensors(data: bytes) -> dict[str, Any]:
    """In the order of the file: the package gives them in one that differs from call to call."""
    from safetensors.torch import load

    found = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    tensors: dict[str, Any] = {n: found[n] for n in sorted(found, key=lambda n: (header[n]["data_offsets"], n))}
    said = header.get("__metadata__") or {}
    return tensors | {key: value for key, value in said.items() if key not in tensors}


def _archive(data: bytes) -> tuple[Any, Storages]:
    """A zip archive by torch, or by NumPy."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        _check(archive, len(data))
        if any(name.endswith("/constants.pkl") for name in entries):
            raise CheckpointError(
                "it is a TorchScript archive. Save its weights, where you trust it:\n"
                '  torch.save(torch.jit.load("FILE").state_dict(), "weights.pt")'
            )
        pickled = [name for name in entries if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickled) == 1:
            root = pickled[0].removesuffix("data.pkl")
            if root + "byteorder" in entries and archive.read(root + "byteorder") != b"little":
                raise CheckpointError("it was written on a big-endian machine")
            tree = read_pickle(io.BytesIO(archive.read(pickled[0])))
            inside = {n.removeprefix(root + "data/"): archive.read(n) for n in entries if n.startswith(root + "data/")}
            return tree, Storages(lambda key: memoryview(inside[key]))
        if entries and all(name.endswith(".npy") for name in entries):
            return {name.removesuffix(".npy"): npy(archive.read(name)) for name in entries}, no_storages()
    raise CheckpointError("it is a zip archive, but neither torch's nor NumPy's")


def _check(archive: zipfile.ZipFile, size: int) -> None:
    """Sizes and checksums of all entries, which `zipfile` looks at where one is read to its end."""
    entries = archive.infolist()
    if len({info.filename for info in entries}) < len(entries):
        raise CheckpointError("two entries of the archive have one name")
    if len(entries) > MAX_ENTRIES:
        raise CheckpointError(f"the archive has {len(entries)} entries; up to {MAX_ENTRIES} are read")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in entries):
        raise CheckpointError("the archive is packed in a way that torch and NumPy do not use")
    if any(info.compress_type == zipfile.ZIP_STORED and info.compress_size != info.file_size for info in entries):
        raise CheckpointError("it is damaged: an entry of the archive has two sizes")
    unpacked = sum(info.file_size for info in entries)
    if unpacked > size + MAX_GROWTH:
        raise CheckpointError(
            f"it has {size / 2**20:.1f} MiB and unpacks to {unpacked / 2**30:.1f} GiB; "
            f"up to {MAX_GROWTH / 2**30:.1f} GiB more than a file has are unpacked"
        )
    for info in entries:
        read = 0
        try:
            with archive.open(info) as stream:  # in pieces, since what it says of its size may be a lie
                while read <= info.file_size and (piece := stream.read(2**20)):
                    read += len(piece)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise CheckpointError(f"it is damaged: {short(info.filename)}: {first_line(error)}") from None
        if read != info.file_size:
            raise CheckpointError(f"it is damaged: {short(info.filename)} has another size than it says")


def first_line(error: BaseException) -> str:
    """What a library's error says, short enough for a sentence of ours."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def short(text: object) -> str:
    """A name from a file, on one line and not long."""
    return visible(str(text)[:100])
