"""Which pairs a model was trained on, from a file of indices, a seeded split, or the checkpoint's own config."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Int

from detectors.core.errors import CheckpointError
from detectors.loading.tensors import first_line
from detectors.subjects.operands.view import ModelView
from detectors.subjects.sequences.view import SequenceView


def with_train_pairs(
    view: ModelView | SequenceView, indices: str | Path | None, split: str | None, own: Any = None
) -> ModelView | SequenceView:
    """The view with the training pairs that somebody gives; as it is where nobody does.

    indices: a JSON list or .npy of pair indices a*n_tokens + b. split: `0.4:1`, as `detectors.load` says. own: the list
    in config.json. Errors: CheckpointError, also for a view that has no pairs.
    """
    if view.kind != "operands":
        given: Any = indices or split or None
        return view.with_train_mask(given)
    if indices is not None and split is not None:
        raise CheckpointError("pass --train-indices or --train-split, not both")
    pairs = view.network.n_tokens**2
    if split is not None:
        chosen = _split(split, pairs)
    elif indices is not None:
        chosen = _checked(_read(Path(indices)), str(indices), pairs)
    elif own is not None:
        chosen = _checked(own, "config.json: train_indices", pairs)
    else:
        return view
    mask = np.zeros(pairs, dtype=bool)
    mask[chosen] = True
    return view.with_train_mask(mask)


def _split(text: str, pairs: int) -> Int[np.ndarray, " train"]:
    match = re.fullmatch(r"(\d*\.?\d+):(\d{1,18})", text)
    if not match or not 0 < float(match[1]) < 1:
        raise CheckpointError(f"--train-split {text}: write FRACTION:SEED, e.g. 0.4:1, the fraction below 1")
    shuffled = torch.randperm(pairs, generator=torch.Generator().manual_seed(int(match[2])))
    return shuffled[: int(float(match[1]) * pairs)].numpy()


def _read(path: Path) -> Any:
    try:
        return np.load(path, allow_pickle=False) if path.suffix == ".npy" else json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(f"no file {path} for --train-indices") from None
    except (ValueError, OSError, EOFError, RecursionError) as error:
        raise CheckpointError(f"{path} holds no training indices: {first_line(error)}") from None


def _checked(values: Any, where: str, pairs: int) -> Int[np.ndarray, " train"]:
    try:
        chosen = np.asarray(values)
    except ValueError:
        chosen = np.empty((0, 0))
    if chosen.size == 0 and chosen.ndim == 1:
        raise CheckpointError(f"{where}: the list of training pairs is empty")
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu":
        raise CheckpointError(f"{where}: a list of whole numbers a*n_tokens + b is expected")
    if chosen.min() < 0 or chosen.max() >= pairs:
        raise CheckpointError(
            f"{where}: indices run from {chosen.min()} to {chosen.max()}, but there are {pairs} pairs (0..{pairs - 1})"
        )
    return chosen.astype(np.int64)
