"""The conformance kit for motifs of features; `detectors.testing.detector_checks` picks it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from detectors.subjects.features.view import Autoencoder, FeaturesView

MODELS = ("zoo:features/pentagons/0", "zoo:features/exact/0", "zoo:features/frames/0")
SAME = 5e-3  # rows are float32; of a permutation other frames are drawn, and with 39 of them the mean moves by this
LOUD = 10.0  # noise in standard deviations of the rows


def _changed(model: FeaturesView, rows: Tensor, bias: Tensor | None = None) -> FeaturesView:
    network = Autoencoder(rows.float(), model.network.b if bias is None else bias)
    return FeaturesView(network, model.task, checkpoint=model.checkpoint)


def _noise(rows: Tensor, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(tuple(rows.shape)))


def input_untouched(bench: Any) -> None:
    """Scoring changes no weight."""
    before = {name: tensor.clone() for name, tensor in bench.example.weights.items()}
    bench.score(bench.example)
    same = [torch.equal(tensor, before[name]) for name, tensor in bench.example.weights.items()]
    assert all(same), "the detector wrote to the weights"


def random_directions_are_chance(bench: Any) -> None:
    """With the directions of the features drawn anew the motif is gone: low values, and p-values not all small."""
    scores = []
    for seed in range(8):
        rows = bench.example.rows
        other = _noise(rows, seed)
        scores.append(
            bench.score(_changed(bench.example, other / other.norm(dim=1)[:, None] * rows.norm(dim=1)[:, None]))
        )
    values = [score.value for score in scores]
    assert float(np.mean(values)) < bench.best.value / 2, f"values of random directions: {values}"
    p_values = [s.null.p_value for s in scores if s.null is not None]
    assert not p_values or float(np.mean(p_values)) > 0.1, f"p-values of random directions: {p_values}"


def noise_drowns(bench: Any) -> None:
    """Under noise louder than the rows the value falls to half or less, or its p-value says that it is chance."""
    rows = bench.example.rows
    score = bench.score(_changed(bench.example, rows + LOUD * rows.std() * _noise(rows, 2)))
    chance = score.null is not None and score.null.p_value > 0.05
    assert score.value <= bench.best.value / 2 or chance, f"{bench.best.value} became {score.value} under noise"


def invariant(bench: Any, name: str) -> None:
    """The value does not depend on a choice of coordinates that the detector declares to be free."""
    assert name in COORDINATES, f"declares invariance to {name!r}; the kit for features knows {', '.join(COORDINATES)}"
    changed = bench.score(COORDINATES[name](bench.example)).value
    assert abs(changed - bench.best.value) <= SAME, f"{bench.best.value} became {changed}"


def _turned(model: FeaturesView) -> FeaturesView:
    """Turned or mirrored."""
    rows = model.rows
    return _changed(model, rows @ torch.linalg.qr(_noise(rows.T @ rows, 4))[0])


def _permuted(model: FeaturesView) -> FeaturesView:
    order = np.random.default_rng(4).permutation(len(model.rows))
    return _changed(model, model.rows[order], model.network.b[order])


COORDINATES = {"hidden_rotation": _turned, "feature_permutation": _permuted}
EVERY: tuple[Callable[[Any], None], ...] = (input_untouched, random_directions_are_chance, noise_drowns)
