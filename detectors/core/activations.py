"""Activation functions by the names that configurations have for them."""

from __future__ import annotations

from collections.abc import Callable

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


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """Errors: CheckpointError where it has no such name."""
    if name not in ACTIVATIONS:
        raise CheckpointError(f"unknown act_fn {name!r}; known: {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]
