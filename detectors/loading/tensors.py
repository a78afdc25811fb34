"""Tensors of a checkpoint file. Files come from strangers: nothing is unpickled, and sizes are checked first."""

from __future__ import annotations

import io
import pickletools
import warnings
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from detectors.core.errors import CheckpointError

MAX_BYTES = 4 * 2**30
MAX_PICKLED = 2**24  # bytes searched for what a refused pickle asks for, at a microsecond each
_WRAPPERS = ("model", "state_dict", "model_state_dict", "weights")


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Tensors of a .safetensors or torch file, or of a folder's model.safetensors, by name, floats as float32.

    Errors: CheckpointError for whatever is not a checkpoint, is damaged, too large, or holds code.
    """
    file = Path(path)
    file = file / "model.safetensors" if file.is_dir() else file
    if not file.is_file():
        raise CheckpointError(f"no file {file}")
    size = file.stat().st_size
    if size == 0:
        raise CheckpointError(f"{file} is empty")
    if size > MAX_BYTES:
        raise CheckpointError(f"{file} has {size / 2**30:.1f} GiB; files up to {MAX_BYTES / 2**30:.0f} GiB are read")
    tensors = _read_safetensors(file) if file.suffix == ".safetensors" else _state_dict(_read_torch(file), file)
    for name, tensor in tensors.items():
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise CheckpointError(f"{file}: {name} is not a dense tensor")
    elements = sum(t.numel() for t in tensors.values())
    if elements * 4 > MAX_BYTES:
        raise CheckpointError(f"{file}: its tensors have {elements:.2e} elements; up to {MAX_BYTES // 4:.2e} are read")
    return {k: t.detach().float().contiguous() if t.is_floating_point() else t for k, t in tensors.items()}


def _read_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    try:
        return load_file(file)
    except Exception as error:  # the parser raises several kinds on damaged files
        raise CheckpointError(f"{file} is not a safetensors file: {first_line(error)}") from None


def _read_torch(file: Path) -> object:
    if zipfile.is_zipfile(file):
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(i.file_size for i in archive.infolist())
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError) as error:
            raise CheckpointError(f"{file} is not a checkpoint: {first_line(error)}") from None
        if unpacked > MAX_BYTES:
            raise CheckpointError(
                f"{file} unpacks to {unpacked / 2**30:.1f} GiB; up to {MAX_BYTES / 2**30:.0f} are read"
            )
    try:
        with warnings.catch_warnings(action="ignore"):  # on protocols that end in an error all the same
            return torch.load(file, weights_only=True, map_location="cpu")
    except Exception:  # damaged files raise whatever their bytes lead to
        if offending := _unsafe_globals(file):
            raise CheckpointError(
                f"{file} is a pickle with code in it and was not run: it asks for {', '.join(offending)}. "
                "Save the weights alone, as a state dict or as safetensors"
            ) from None
        raise CheckpointError(f"{file} is not a checkpoint that torch can read, or is damaged") from None


def _unsafe_globals(file: Path) -> list[str]:
    """The globals that torch would refuse, listed without running anything."""
    try:
        return sorted(torch.serialization.get_unsafe_globals_in_checkpoint(file))
    except Exception:  # only zip archives are listed there; older files are bare pickles, one after another
        with file.open("rb") as stream:
            names = _pickled_globals(io.BytesIO(stream.read(MAX_PICKLED)))
        return sorted(n for n in names if not n.startswith("torch.") and n != "collections.OrderedDict")


def _pickled_globals(stream: BinaryIO) -> set[str]:
    """Names that the pickles in a stream would import, from their opcodes alone.

    Even an Unpickler whose find_class is inert builds what the file says: it hashes tuples nested as deep as they come,
    and reserves memory for whatever memo index it reads.
    """
    names: set[str] = set()
    with suppress(Exception):  # the tensors' bytes follow the pickles, and damaged files end anywhere
        while True:
            memo: dict[Any, str | None] = {}
            pushed = ("", "")  # STACK_GLOBAL takes module and name from the stack: the last two strings pushed
            last: str | None = None
            for opcode, argument, _ in pickletools.genops(stream):
                if opcode.name == "MEMOIZE":
                    memo[len(memo)] = last
                elif "PUT" in opcode.name:
                    memo[argument] = last
                elif "GLOBAL" in opcode.name or opcode.name == "INST":
                    names.add(".".join(pushed) if argument is None else argument.replace(" ", "."))
                    last = None
                else:
                    text = memo.get(argument) if "GET" in opcode.name else argument
                    last = text if isinstance(text, str) else None
                    pushed = pushed if last is None else (pushed[1], last)
    return names


def _state_dict(loaded: object, file: Path) -> dict[str, Tensor]:
    """Weights bare, or under one of the usual keys."""
    candidates = [loaded]
    if isinstance(loaded, Mapping):
        candidates += [loaded[k] for k in _WRAPPERS if k in loaded]
    for candidate in candidates:
        if isinstance(candidate, Mapping):
            tensors = {k: v for k, v in candidate.items() if isinstance(k, str) and isinstance(v, Tensor)}
            if any(t.ndim >= 2 for t in tensors.values()):
                return _unprefixed(tensors)
    found = ", ".join(map(str, list(loaded)[:12])) if isinstance(loaded, Mapping) else type(loaded).__name__
    raise CheckpointError(f"{file} holds no weights: found {found or 'nothing'}")


def _unprefixed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without the prefix that wrappers put before every name."""
    for prefix in ("model.", "module.", "_orig_mod."):
        if all(name.startswith(prefix) for name in tensors):
            return {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    return tensors


def first_line(error: Exception) -> str:
    """What a library's error says, short enough for a sentence of ours."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
