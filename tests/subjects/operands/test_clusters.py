"""Clusters of one frequency against CKA as it is defined, with the waves written out."""

import numpy as np
import pytest
import torch

from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.subjects.operands.clusters import clusters
from detectors.subjects.operands.view import ModelView
from detectors.subjects.tasks import parse_task

P, K = 13, 3
ANGLE = 2 * np.pi * K * np.arange(P) / P


def layer(of_a, of_b):
    """A network whose preactivations are of_a[a] + of_b[b], [P, neurons] each."""
    m = of_a.shape[1]
    weights = {"W_x": of_a, "W_y": of_b, "W": np.concatenate([np.eye(m), np.eye(m)])}
    weights["W_U"] = np.random.default_rng(0).standard_normal((m, P))
    network = TwoEmbeddingMLP({k: torch.from_numpy(w).float() for k, w in weights.items()}, "relu")
    return ModelView(network, parse_task(f"add:{P}"))


def cka(x, y):
    """Linear, of columns about their means (arXiv:1905.00414)."""
    x, y = (v - v.mean(0) for v in (x, y))
    return np.linalg.norm(x.T @ y) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y))


@pytest.mark.parametrize("apart", [0.0, 0.4])
def test_likeness_is_that_with_the_waves_and_concentration_that_of_the_phases(apart):
    """apart: between the phases of a and of b, a neuron more than the one before."""
    phases = np.linspace(0, 2, 9)
    of_a = 1.3 * np.cos(ANGLE[:, None] + phases)
    of_b = np.cos(ANGLE[:, None] + phases + apart * np.arange(9))
    (found,) = clusters(layer(of_a, of_b), 0).own
    a, b = np.divmod(np.arange(P * P), P)
    x = of_a[a] + of_b[b]
    turns = np.exp(1j * np.arange(9) * apart)
    assert found.frequency == K
    assert found.phase_concentration == pytest.approx(abs(turns.mean()), abs=1e-5)
    between = np.angle(turns.mean())  # the offset of b that fits best
    discs = np.stack([f(ANGLE[a]) + f(ANGLE[b] + between) for f in (np.cos, np.sin)], 1)
    tori = np.stack([np.cos(ANGLE[a]), np.sin(ANGLE[a]), np.cos(ANGLE[b]), np.sin(ANGLE[b])], 1)
    circles = np.stack([np.cos(ANGLE[a] + ANGLE[b]), np.sin(ANGLE[a] + ANGLE[b])], 1)
    for name, waves in (("disc", discs), ("torus", tori), ("circle", circles)):
        assert getattr(found, name) == pytest.approx(cka(x, waves), abs=1e-5), name


def test_what_they_add_to_the_logits_is_measured_with_the_circle():
    """As it is defined, over pairs and answers; a readout at random has little."""
    phases = np.linspace(0, 2, 9)
    of_a = np.cos(ANGLE[:, None] + phases)
    view = layer(of_a, of_a)
    (found,) = clusters(view, 0).own
    a, b = np.divmod(np.arange(P * P), P)
    circles = np.stack([np.cos(ANGLE[a] + ANGLE[b]), np.sin(ANGLE[a] + ANGLE[b])], 1)
    added = (view.neurons(0) @ view.readout(0)).double().numpy()
    assert found.logits_circle == pytest.approx(cka(added, circles), abs=1e-5)
    assert 0.05 < found.logits_circle < 0.95


def test_of_half_the_order_a_wave_is_a_sign_and_its_disc_has_the_offset_that_fits():
    """n = 12, k = 6: cos pi a + cos pi b, where no sine is."""
    signs = np.cos(np.pi * np.arange(12))[:, None] * np.array([1.0, -1.0, 2.0])
    weights = {"W_x": signs, "W_y": signs, "W": np.concatenate([np.eye(3), np.eye(3)])}
    weights["W_U"] = np.random.default_rng(0).standard_normal((3, 12))
    network = TwoEmbeddingMLP({k: torch.from_numpy(w).float() for k, w in weights.items()}, "relu")
    (found,) = clusters(ModelView(network, parse_task("add:12")), 0).own
    assert (found.frequency, found.disc) == (6, pytest.approx(1.0))
    assert found.torus == pytest.approx(2**-0.5)
