"""The arrays in a file: what an `Inert` of torch or numpy says of one, held against the bytes that are there."""

from __future__ import annotations

import io
import math
import re
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detectors.loading.unpickle import Damaged, Inert, Pickle


@dataclass
class Storages:
    """Where the bytes of storages are. at: by the key of one. inner: files within the file, each read once."""

    at: Callable[[str], memoryview]
    inner: dict[int, tuple[Any, Storages]] = field(default_factory=dict)


_UTILS = "torch._utils._rebuild_"
_TENSORS = {_UTILS + "tensor", _UTILS + "tensor_v2", _UTILS + "tensor_v3"}
_AROUND = {_UTILS + "parameter", _UTILS + "parameter_with_state"}  # the tensor is their first argument
_NO_ARRAYS = {_UTILS + what for what in ("qtensor", "sparse_tensor", "meta_tensor_no_storage")}
_NUMPY = "numpy._core.multiarray."
_BUFFER = "numpy._core.numeric._frombuffer"
_ARRAYS = _TENSORS | _NO_ARRAYS | {_BUFFER, _NUMPY + "_reconstruct", _NUMPY + "scalar"}
_JAX = "jax._src.array._reconstruct_array"
_STORAGES = {
    "Float": torch.float32,
    "Double": torch.float64,
    "Half": torch.float16,
    "BFloat16": torch.bfloat16,
    "Long": torch.int64,
    "Int": torch.int32,
    "Short": torch.int16,
    "Char": torch.int8,
    "Byte": torch.uint8,
    "Bool": torch.bool,
}
_MAGIC = 0x1950A86A20F9469CFC6C  # of torch's files before they were zip archives
MAX_DIMENSIONS = 16
NESTED = 4  # a tensor in a parameter in a subclass, and one more


def array(node: Any) -> Any:
    """What a node says of an array, without what is wrapped around it; None where it is none."""
    if isinstance(node, Tensor | np.ndarray):
        return node
    for _ in range(NESTED):
        if not isinstance(node, Inert) or node.how != "call":
            return None
        args = node.args
        if node.name in _AROUND and args:
            node = args[0]
        elif node.name == "torch._tensor._rebuild_from_type_v2" and len(args) == 4 and isinstance(args[0], Inert):
            if not isinstance(args[2], tuple):
                return None
            node = Inert(args[0].name, "call", args[2])
        elif node.name == _JAX and len(args) == 4:
            node = Inert(_NUMPY + "_reconstruct", "call", (), args[2])
        elif isinstance(node.state, tuple) and node.state and isinstance(node.state[-1], list):
            return None  # an array of objects
        elif node.name in _ARRAYS:
            return node
        else:
            return None
    return None


def shape(node: Any) -> tuple[int, ...]:
    """Shape of what `array` gives, before anything of it is read. Errors: Damaged where it says none."""
    if isinstance(node, Tensor | np.ndarray):
        return tuple(node.shape)
    if node.name in _NO_ARRAYS:
        raise Damaged("it is not a dense tensor")
    if node.name in _TENSORS:
        found = node.args[2] if len(node.args) > 3 else None
    elif node.name == _BUFFER:
        found = node.args[2] if len(node.args) > 2 else None
    elif node.name == _NUMPY + "scalar":
        found = ()
    else:
        found = node.state[1] if isinstance(node.state, tuple) and len(node.state) == 5 else None
    return _sizes(found)


def tensor(node: Any, storages: Storages) -> Tensor:
    """The array itself, strided over the bytes of the file where it is torch's. Errors: Damaged."""
    if isinstance(node, Tensor):
        return node
    if isinstance(node, np.ndarray):
        return _of_numpy(node)
    if node.name in _TENSORS:
        return _strided(node, storages)
    args, state, size = node.args, node.state, shape(node)
    if node.name == _BUFFER:
        order = args[3] if len(args) > 3 and args[3] in ("C", "F") else "C"
        return _of_numpy(_numpy(args[0], args[1], size, order))
    if node.name == _NUMPY + "scalar":
        if len(args) != 2:
            raise Damaged("a number of numpy's without its bytes")
        return _of_numpy(_numpy(args[1], args[0], (), "C"))
    return _of_numpy(_numpy(state[4], state[2], size, "F" if state[3] else "C"))


def _sizes(found: Any) -> tuple[int, ...]:
    if not isinstance(found, tuple | list) or len(found) > MAX_DIMENSIONS:
        raise Damaged("a tensor in it has no shape")
    if any(not isinstance(size, int) or not 0 <= size < 2**48 for size in found):
        raise Damaged("a tensor in it has a size that none can have")
    return tuple(found)


def _strided(node: Inert, storages: Storages) -> Tensor:
    storage, offset, size, stride = node.args[0], node.args[1], shape(node), _sizes(node.args[3])
    data, dtype = _storage(storage, storages)
    if dtype is None:  # of the third kind, whose tensors say the type and whose storages are bytes
        dtype = _dtype(node.args[6] if len(node.args) > 6 else None)
    if len(stride) != len(size) or not isinstance(offset, int) or offset < 0:
        raise Damaged("a tensor in it has no strides")
    if 0 in size:
        return torch.empty(size, dtype=dtype)
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if (last + 1) * dtype.itemsize > len(data):
        raise Damaged("a tensor in it reaches beyond its bytes")
    whole = len(data) // dtype.itemsize
    with warnings.catch_warnings(action="ignore"):  # that the bytes are read-only: they are copied before use
        return torch.frombuffer(data, dtype=dtype, count=whole).as_strided(size, stride, offset)


def _dtype(name: Any) -> torch.dtype:
    known = {str(dtype): dtype for dtype in (*_STORAGES.values(), torch.float8_e4m3fn, torch.float8_e5m2)}
    if not isinstance(name, Inert) or name.name not in known:
        raise Damaged("a tensor in it is of a type that is not read")
    return known[name.name]


def _storage(storage: Any, storages: Storages) -> tuple[memoryview, torch.dtype | None]:
    """Bytes of a storage, and the type of its elements where it has one."""
    if isinstance(storage, Inert) and storage.name == "torch.storage._load_from_bytes" and storage.args:
        raw = _unencoded(storage.args[0])
        if id(raw) not in storages.inner:
            storages.inner[id(raw)] = legacy(io.BytesIO(_bytes(raw)))
        return _storage_there(*storages.inner[id(raw)])
    return _storage_there(storage, storages)


def _storage_there(storage: Any, storages: Storages) -> tuple[memoryview, torch.dtype | None]:
    said = storage.args if isinstance(storage, Inert) and storage.how == "storage" else None
    if not isinstance(said, tuple) or len(said) < 5 or said[0] != "storage":
        raise Damaged("a tensor in it has no storage")
    kind, key = said[1], said[2]
    if not isinstance(kind, Inert) or not isinstance(key, str):
        raise Damaged("a tensor in it has no storage")
    name = kind.name.rpartition(".")[2].removesuffix("Storage")
    if name not in _STORAGES and name != "Untyped":
        raise Damaged("a tensor in it is of a type that is not read")
    dtype, data = _STORAGES.get(name), storages.at(key)
    view = said[5] if len(said) > 5 else None
    if isinstance(view, tuple):  # (key, offset, elements): a part of a storage, in the oldest files
        if len(view) != 3 or dtype is None or not all(isinstance(v, int) and v >= 0 for v in view[1:]):
            raise Damaged("a tensor in it has no storage")
        data = data[view[1] * dtype.itemsize : (view[1] + view[2]) * dtype.itemsize]
    return data, dtype


def _unencoded(raw: Any) -> Any:
    """Bytes as the older protocols write them, a text and its encoding."""
    encoded = isinstance(raw, Inert) and raw.name == "_codecs.encode" and len(raw.args) == 2 and raw.args[1] == "latin1"
    return raw.args[0] if encoded else raw


def _bytes(raw: Any, size: int | None = None) -> bytes:
    """Bytes of an array, so many; they may be those of many arrays, and are copied once their number is right."""
    raw = _unencoded(raw)
    if isinstance(raw, str | bytes | bytearray) and size not in (None, len(raw)):
        raise Damaged("an array in it has another size than its bytes")
    if isinstance(raw, str):
        return raw.encode("latin1")
    if not isinstance(raw, bytes | bytearray):
        raise Damaged("an array in it has no bytes")
    return bytes(raw)


def _numpy(raw: Any, said: Any, size: tuple[int, ...], order: Any) -> np.ndarray:
    code = said.args[0] if isinstance(said, Inert) and said.name == "numpy.dtype" and said.args else None
    if not isinstance(code, str) or not re.fullmatch(r"[<>|=]?([biuf][1248]|f16|\?)", code):
        raise Damaged("an array in it is not of numbers")
    dtype = np.dtype(code)
    if isinstance(said.state, tuple) and len(said.state) > 1 and said.state[1] == ">":
        dtype = dtype.newbyteorder(">")
    data = _bytes(raw, math.prod(size) * dtype.itemsize)
    return np.frombuffer(data, dtype).reshape(size, order=order)


def _of_numpy(found: np.ndarray) -> Tensor:
    kind = found.dtype.kind
    if kind not in "biuf":
        raise Damaged("an array in it is not of numbers")
    if kind == "f" and found.dtype.itemsize > 8:
        found = found.astype(np.float64)
    if kind == "u" and found.dtype.itemsize > 1:
        found = found.astype(np.int64)
    return torch.from_numpy(np.array(found, dtype=found.dtype.newbyteorder("="), order="C"))


class Refused(Exception):
    """A pickle that asks for names which no checkpoint needs."""


def read_pickle(stream: Any) -> Any:
    """One pickle as data. Errors: Refused, which comes before any damage, with the names of all that follow as well."""
    pickle = Pickle(stream)
    try:
        return pickle.read()
    finally:
        if pickle.refused:
            raise Refused(sorted(pickle.refused | _following(stream)))


def _following(stream: Any) -> set[str]:
    """Names in further pickles behind one that is refused."""
    names: set[str] = set()
    while True:
        pickle = Pickle(stream)
        try:
            pickle.read()
        except Exception:
            return names | pickle.refused
        names |= pickle.refused


def legacy(stream: io.BytesIO) -> tuple[Any, Storages]:
    """What a bare pickle holds, or a file of torch's older form: four pickles, then every storage with its length."""
    first = read_pickle(stream)
    if first != _MAGIC:
        return first, no_storages()
    read_pickle(stream), read_pickle(stream)  # version, and the machine that wrote it
    tree, keys = read_pickle(stream), read_pickle(stream)
    sizes = _storage_sizes(tree)
    data, found = stream.getbuffer(), {}
    at = stream.tell()
    for key in keys if isinstance(keys, list) else []:
        if not isinstance(key, str) or key not in sizes or at + 8 > len(data):
            raise Damaged("its storages do not follow")
        (elements,) = struct.unpack_from("<q", data, at)
        end = at + 8 + elements * sizes[key]
        if elements < 0 or end > len(data):
            raise Damaged("it ends within a storage")
        found[key] = data[at + 8 : end]
        at = end
    return tree, Storages(lambda key: found[key])


def _no_storage(key: str) -> memoryview:
    raise Damaged("a tensor in it has no storage")


def no_storages() -> Storages:
    """Of a file that has its arrays within."""
    return Storages(_no_storage)


def _storage_sizes(tree: Any) -> dict[str, int]:
    """Bytes of an element of every storage that a tree mentions."""
    sizes: dict[str, int] = {}
    seen: set[int] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str | bytes | bytearray | int | float | None) or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, Inert):
            said = node.args
            if node.how == "storage" and isinstance(said, tuple) and len(said) > 2 and isinstance(said[1], Inert):
                dtype = _STORAGES.get(said[1].name.rpartition(".")[2].removesuffix("Storage"))
                if isinstance(said[2], str):
                    sizes[said[2]] = dtype.itemsize if dtype else 1
            waiting += [node.args, node.state, node.pairs, node.values]
        elif isinstance(node, dict):
            waiting += node.values()
        elif isinstance(node, list | tuple):
            waiting += node
    return sizes
