"""Sequences from a file: `tokens` [sequences, positions] and `targets`, the same shape, -100 where nothing is asked."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from detectors.core.errors import TaskError
from detectors.core.plain_files import read_bytes
from detectors.core.visible import visible
from detectors.subjects.sequences.generators import NOTHING, Sequences

MOST = 2**24  # numbers of an array: 2**18 sequences of 64 tokens
BYTES = 2**28  # of the file, and of an array in it: as many numbers in 64 bits, and room for a header


def bank(file: str) -> Callable[[np.random.Generator, int, int, int], Sequences]:
    """Draws rows of a file without replacement, as many as there are at the most. Errors: TaskError, also where a token
    is none of the model's or the sequences are longer than it reads.
    """
    tokens, targets = _read(Path(file))

    def draw(rng: np.random.Generator, batch: int, d_vocab: int, n_ctx: int) -> Sequences:
        if tokens.max() >= d_vocab:
            raise TaskError(f"{file} has the token {tokens.max()}; the model reads {d_vocab}, from 0")
        if tokens.shape[1] > n_ctx:
            raise TaskError(f"{file} has sequences of {tokens.shape[1]} tokens; the model reads up to {n_ctx}")
        rows = np.sort(rng.permutation(len(tokens))[:batch])
        return Sequences(torch.from_numpy(tokens[rows]), torch.from_numpy(targets[rows]))

    return draw


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(read_bytes(file, BYTES))) as archive:
            tokens, targets = (_array(archive, name) for name in ("tokens", "targets"))
    except FileNotFoundError:
        raise TaskError(f"no file {file} with `tokens` and `targets`") from None
    except TaskError as error:
        raise TaskError(f"{file}: {error}") from None
    except Exception as error:  # damaged files raise whatever their bytes lead to
        said = visible(str(error)[:200]) or type(error).__name__
        raise TaskError(f"{file} is no .npz with `tokens` and `targets`, or is damaged: {said}") from None
    if tokens.ndim != 2 or tokens.shape != targets.shape or not tokens.size:
        raise TaskError(
            f"{file}: `tokens` has shape {tokens.shape} and `targets` {targets.shape}, where both are [sequences, "
            "positions]"
        )
    if tokens.min() < 0 or not (targets >= 0).any() or ((targets < 0) & (targets != NOTHING)).any():
        raise TaskError(
            f"{file}: tokens are 0 and more, targets too, or {NOTHING} where nothing is asked; some must be"
        )
    return tokens, targets


def _array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Integers of a size that is looked at before they are unpacked; the checksum holds, and nothing is unpickled."""
    entry = archive.getinfo(f"{name}.npy")
    if entry.file_size > BYTES:
        raise TaskError(f"{name} unpacks to {entry.file_size / 2**20:.0f} MiB; up to {BYTES / 2**20:.0f} are read")
    data = archive.read(entry)
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False)
    except ValueError:  # also of objects, which would have to be unpickled
        raise TaskError(f"{name} is no array of plain numbers; integers are read") from None
    if array.dtype.kind not in "iu" or array.size > MOST:
        raise TaskError(f"{name} is {array.dtype} {array.shape}; integers are read, up to {MOST} of them")
    return np.asarray(array, dtype=np.int64)
