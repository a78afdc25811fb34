"""What a layout says of its tensors, with named axes, held against their shapes and against the task."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from detectors.core.errors import CheckpointError

Weights = Mapping[str, Tensor]


def check_shapes(weights: Weights, axes: Mapping[str, str]) -> dict[str, int]:
    """Sizes of the axes by name. axes: of every tensor by its name; of those that are not there nothing is asked.

    An axis has the size that the first tensor says. Products such as `2*d_model` are of sizes known by then.
    Errors: CheckpointError for a tensor whose shape is another.

    >>> import torch
    >>> check_shapes({"W_x": torch.zeros(7, 4), "W": torch.zeros(8, 5)}, {"W_x": "n d", "W": "2*d m"})
    {'n': 7, 'd': 4, 'm': 5}
    """
    sizes: dict[str, int] = {}
    for name, text in axes.items():
        if name not in weights:
            continue
        named, shape = text.split(), list(weights[name].shape)
        if len(shape) != len(named):
            what = "a matrix " if len(named) == 2 else ""
            raise CheckpointError(f"{name} has shape {shape}; expected {what}[{', '.join(named)}]")
        for axis, size in zip(named, shape, strict=True):
            if "*" not in axis:
                sizes.setdefault(axis, size)
        expected = [math.prod(int(f) if f.isdecimal() else sizes[f] for f in axis.split("*")) for axis in named]
        if shape != expected:
            raise CheckpointError(f"{name} has shape {shape}; the other tensors make it {expected}")
    return sizes


class OtherTokens(CheckpointError):
    """The tensors fit each other, but not as many tokens or positions as the layout has for the task."""


def check_task(task: Any, fits: bool, found: str, answers: int) -> None:
    """A task of two operands against a network. found: what the file shows of its tokens. answers: its columns.

    Errors: CheckpointError where the tokens are not those of the task, or its answers are more than the columns.
    """
    if not fits:
        raise OtherTokens(f"the task {task.spec} has {task.n_tokens} tokens, but {found}: another --task?")
    if answers < task.n_answers:
        raise OtherTokens(f"the task {task.spec} has {task.n_answers} answers, but W_U has {answers} columns")
