"""Toy models of superposition: x' = relu(W^T W x + b), one matrix and a bias, whichever way the matrix lies.

Source: arXiv:2209.10652, section 2. In its code W is [features, hidden], in others' [hidden, features]; b names the
features by its length. Without b the longer side is the features.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from detectors.core.errors import CheckpointError
from detectors.loading.shapes import Weights
from detectors.subjects.features.view import Autoencoder, FeaturesView

NAME = "toy autoencoder"
SUBJECTS = frozenset({"features"})
OPTIONS: frozenset[str] = frozenset()
TASK = "features:0.05"  # as it may be written
TENSORS = "one matrix W and a bias b of the features, under any names"


def matches(weights: Weights) -> bool:
    return len(_matrices(weights)) == 1 and all(tensor.ndim <= 2 for tensor in weights.values())


def build(weights: Weights, task: Any, arch: Mapping[str, Any]) -> tuple[Autoencoder, list[str]]:
    if arch:
        raise CheckpointError(f"--arch {', '.join(sorted(arch))} does not apply to a toy autoencoder, which has a relu")
    name = _matrix(weights)
    W = weights[name].float()
    sides, biases = set(W.shape), [n for n, tensor in weights.items() if tensor.ndim == 1]
    fit = [n for n in biases if len(weights[n]) in sides]
    if len(fit) > 1 or (biases and not fit):
        found = ", ".join(f"{n} {list(weights[n].shape)}" for n in biases)
        raise CheckpointError(
            f"a toy autoencoder has one bias, as long as there are features, and beside {name} {list(W.shape)} there "
            f"is {found}: keep {name} and its bias alone (detectors.from_weights takes a dictionary of them)"
        )
    features = len(weights[fit[0]]) if fit else max(W.shape)
    b = weights[fit[0]].float() if fit else torch.zeros(features)
    readings = [Autoencoder(rows.contiguous(), b) for rows in (W, W.T) if len(rows) == features]
    best = min(readings, key=lambda network: FeaturesView(network, task).figures().loss.all or 0.0)
    return best, [n for n in weights if n not in (name, *fit)]


def _matrices(weights: Weights) -> list[str]:
    """Of floats; of integers where there is no other."""
    found = [name for name, tensor in weights.items() if tensor.ndim == 2 and tensor.numel()]
    return [name for name in found if weights[name].is_floating_point()] or found


def _matrix(weights: Weights) -> str:
    if matches(weights):
        return _matrices(weights)[0]
    shapes = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in list(weights.items())[:12])
    raise CheckpointError(
        f"a toy autoencoder has one matrix W, [features, hidden] or [hidden, features], and a bias; found: {shapes}. "
        "Of several models in one file pass one: detectors.from_weights({'W': W[0], 'b': b[0]}, 'features:0.05')"
    )
