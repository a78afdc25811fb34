"""Sequences from a file: `tokens` [sequences, positions] and `targets`, the same shape, -100 where nothing is asked."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.lib import format as npy

from detectors.core.errors import TaskError
from detectors.subjects.sequences.generators import NOTHING, Sequences

MOST = 2**26  # numbers of an array: 2**20 sequences of 64 tokens


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
    if not file.is_file() or file.is_fifo():
        raise TaskError(f"no file {file} with `tokens` and `targets`")
    try:
        with zipfile.ZipFile(file) as archive:
            found = {name: _array(archive, f"{name}.npy", file) for name in ("tokens", "targets")}
    except (OSError, zipfile.BadZipFile, ValueError, KeyError) as error:
        if isinstance(error, TaskError):
            raise
        raise TaskError(f"{file} is no .npz with `tokens` and `targets`: {str(error)[:200]}") from None
    tokens, targets = found["tokens"], found["targets"]
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


def _array(archive: zipfile.ZipFile, name: str, file: Path) -> np.ndarray:
    """Integers, of a size that is looked at before they are read; nothing is unpickled."""
    with archive.open(name) as stream:
        version = npy.read_magic(stream)
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = read(stream)
    if dtype.kind not in "iu" or int(np.prod(shape, dtype=np.float64)) > MOST:
        raise TaskError(f"{file}: {name[:-4]} is {dtype} {shape}; integers are read, up to {MOST} of them")
    with archive.open(name) as stream:
        return npy.read_array(stream, allow_pickle=False).astype(np.int64)
