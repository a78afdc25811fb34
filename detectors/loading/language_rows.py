"""Rows of words of a language model of any size, read one by one from the safetensors of its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from detectors.core.errors import CheckpointError
from detectors.loading.containers import first_line
from detectors.subjects.subject import Checkpoint
from detectors.subjects.words.view import EMBEDDING, RowsView, single_tokens


def rows_of(path: Path, skeleton: Any, tokenizer: Any) -> RowsView:
    """skeleton: the model without numbers, which knows the table's name and shape. Errors: CheckpointError where no
    file of the folder has it, or there is no tokenizer.
    """
    if tokenizer is None:
        raise CheckpointError(f"{path} has no tokenizer, so its words are not known")
    table = skeleton.get_input_embeddings().weight
    name = next(name for name, tensor in skeleton.named_parameters() if tensor is table)
    file, key = _holder(path, name, tuple(table.shape))
    said = f"the model was not loaded: rows of its embedding alone ({key})"
    origin = Checkpoint(path=str(path), layout=f"rows of a language model, {skeleton.config.model_type}", notes=(said,))
    known = partial(single_tokens, tokenizer, len(table))
    return RowsView.reading(known, partial(_rows, file, key), tuple(table.shape), origin)


class Header(NamedTuple):
    """Of a tensor in a file of safetensors. kind: of number."""

    name: str
    shape: tuple[int, ...]
    kind: str


def headers(file: Path) -> list[Header]:
    """By name. Errors: CheckpointError."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as tensors:
            found = [(name, tensors.get_slice(name)) for name in sorted(tensors.keys())]
            return [Header(name, tuple(part.get_shape()), str(part.get_dtype())) for name, part in found]
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} is damaged: {first_line(error)}") from None


def _holder(path: Path, name: str, shape: tuple[int, ...]) -> tuple[Path, str]:
    """The file that has the table, and its name there, which may lack the first parts of it."""
    for file in sorted(path.glob("*.safetensors")):
        for tensor in headers(file):
            if name.endswith(tensor.name) and tensor.shape == shape:
                return file, tensor.name
    raise CheckpointError(f"no *.safetensors of {path} has {name} of shape {list(shape)}")


def _rows(file: Path, key: str, tokens: Sequence[int]) -> Mapping[str, Tensor]:
    from safetensors import safe_open

    with safe_open(file, "pt") as tensors:
        table = tensors.get_slice(key)
        return {EMBEDDING: torch.stack([table[token] for token in tokens])}
