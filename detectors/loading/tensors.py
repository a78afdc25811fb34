"""Weights of a checkpoint file, and what else it says. Files come from strangers: nothing in one is run, its checksums
hold or it is not read, and sizes are checked before anything is made."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import stat
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.loading.arrays import Refused, Storages, array, legacy, no_storages, npy, read_pickle, shape, tensor
from detectors.loading.contents import find

MAX_BYTES = 4 * 2**30
MAX_GROWTH = 2**29  # what may be unpacked beyond the bytes that are there, and what tensors may take beyond those


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """What a checkpoint holds.

    weights: by name, without the prefixes of wrappers, floats as float32. says: the plain values beside them, such as a
    step or a configuration. train: the key of training pairs in the file, and those as they stand; None where it has
    none. note: what was chosen where there were several states. sha256: of the file.
    """

    weights: dict[str, Tensor]
    says: Mapping[str, Any]
    train: tuple[str, Any] | None
    note: str
    sha256: str


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """The weights alone of what `read_contents` reads."""
    return read_contents(path).weights


def read_contents(path: str | Path, step: str | None = None) -> Contents:
    """Weights in a file of safetensors, torch or NumPy, or in a folder's model.safetensors.

    step: which state where there are several, by its number or its key; the last otherwise.
    Errors: CheckpointError for whatever is not a checkpoint, is damaged, too large, or holds code.
    """
    file = Path(path)
    file = file / "model.safetensors" if file.is_dir() else file
    data = read_bytes(file)
    tree, storages = _whole(file, data, lambda: _tree(data, file.suffix))
    found = _whole(file, data, lambda: find(tree, step))
    weights = _whole(file, data, lambda: _weights(found.arrays, storages, len(data)))
    train = _whole(file, data, lambda: found.plain_train(storages))
    return Contents(
        weights=weights, says=found.says, train=train, note=found.note, sha256=hashlib.sha256(data).hexdigest()
    )


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
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file} cannot be read: {first_line(error)}") from None
    if not data:
        raise CheckpointError(f"{file} is empty")
    return data


def _whole(file: Path, data: bytes, read: Callable[[], Any]) -> Any:
    """What a step of reading gives, its errors as sentences about the file."""
    try:
        return read()
    except CheckpointError as error:
        raise CheckpointError(
            f"{file}{' ' if str(error)[:5] == 'holds' else ': '}{str(error).replace('FILE', str(file))}"
        ) from None
    except Refused as error:
        names = ", ".join(visible(name) for name in error.args[0][:12])
        raise CheckpointError(
            f"{file} is a pickle with code in it and was not run: it asks for {names}. "
            "Save the weights alone, as a state dict or as safetensors"
        ) from None
    except Exception as error:  # damaged files raise whatever their bytes lead to
        raise CheckpointError(f"{file} is not a checkpoint, or is damaged: {first_line(error)}") from None


def _tree(data: bytes, suffix: str) -> tuple[Any, Storages]:
    if suffix == ".safetensors":
        return _safetensors(data), no_storages
    if data[:4] == b"PK\x03\x04":
        return _archive(data)
    if data[:6] == b"\x93NUMPY":
        return npy(data), no_storages
    return legacy(io.BytesIO(data))


def _safetensors(data: bytes) -> dict[str, Any]:
    from safetensors.torch import load

    tensors: dict[str, Any] = load(data)
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
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
            return tree, lambda key: memoryview(inside[key])
        if entries and all(name.endswith(".npy") for name in entries):
            return {name.removesuffix(".npy"): npy(archive.read(name)) for name in entries}, no_storages
    raise CheckpointError("it is a zip archive, but neither torch's nor NumPy's")


def _check(archive: zipfile.ZipFile, size: int) -> None:
    """Sizes and checksums of all entries, so that none need be trusted later."""
    entries = archive.infolist()
    if len({info.filename for info in entries}) < len(entries):
        raise CheckpointError("two entries of the archive have one name")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in entries):
        raise CheckpointError("the archive is packed in a way that torch and NumPy do not use")
    unpacked = sum(info.file_size for info in entries)
    if unpacked > size + MAX_GROWTH:
        raise CheckpointError(
            f"it has {size / 2**20:.1f} MiB and unpacks to {unpacked / 2**30:.1f} GiB; "
            f"up to {MAX_GROWTH / 2**30:.1f} GiB more than a file has are unpacked"
        )
    for info in entries:
        read, checksum = 0, 0
        with archive.open(info) as stream:  # in pieces, since what it says of its size may be a lie
            while read <= info.file_size and (piece := stream.read(2**20)):
                read, checksum = read + len(piece), zlib.crc32(piece, checksum)
        if read != info.file_size or checksum != info.CRC:
            raise CheckpointError(f"it is damaged: the checksum of {visible(info.filename)} does not hold")


def _weights(arrays: Mapping[str, Any], storages: Storages, size: int) -> dict[str, Tensor]:
    """Read once their sizes are known to fit. size: bytes of the file."""
    elements = 0
    for name, node in arrays.items():
        try:
            elements += math.prod(shape(node))
        except ValueError as error:
            raise CheckpointError(f"{visible(name)}: {error}") from None
    if elements * 4 > 4 * size + MAX_GROWTH or elements * 4 > MAX_BYTES:
        raise CheckpointError(
            f"its tensors have {elements:.2e} elements, for which {elements * 4 / 2**30:.1f} GiB would be needed, "
            f"and the file has {size / 2**20:.1f} MiB"
        )
    read = {name: tensor(array(node), storages) for name, node in arrays.items()}
    for name, found in read.items():
        if found.layout != torch.strided or found.is_quantized or found.device.type != "cpu":
            raise CheckpointError(f"{visible(name)} is not a dense tensor")
    return {
        name: (found.detach().float() if found.is_floating_point() else found.detach()).clone(
            memory_format=torch.contiguous_format
        )
        for name, found in read.items()
    }


def visible(text: str) -> str:
    """A name from a file, short, and with whatever does not print written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:100])


def first_line(error: Exception) -> str:
    """What a library's error says, short enough for a sentence of ours."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
