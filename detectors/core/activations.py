"""Activation functions by the names that configurations have for them."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from detectors.core.errors import CheckpointError

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "tanh": torch.tanh,
    "square": torch.square,
    "abs": torch.abs,
    "sigmoid": torch.sigmoid,
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "identity": lambda x: x,  # of products, which are no lines by themselves (bilinear layers, arXiv:2410.08417)
}
SLOPE = re.compile(r"[01]|0?\.\d{1,6}")


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """`leaky_relu:SLOPE` has that slope below 0; without one it is torch's 0.01. CheckpointError where it is not known.

    >>> activation("leaky_relu:0.2")(torch.tensor([-1.0, 1.0]))
    tensor([-0.2000,  1.0000])
    """
    kind, _, slope = name.partition(":")
    if kind == "leaky_relu" and SLOPE.fullmatch(slope):
        return partial(F.leaky_relu, negative_slope=float(slope))
    if name not in ACTIVATIONS:
        raise CheckpointError(f"unknown act_fn {name!r}; known: {', '.join(ACTIVATIONS)}, leaky_relu:SLOPE")
    return ACTIVATIONS[name]
