"""Other activation functions and signs: what answers under them, and what does not."""

import numpy as np
import pytest
import torch

from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.subjects.operands.swaps import swapped
from detectors.subjects.operands.view import ModelView
from models_zoo import trig_mlp

P = 13


@pytest.mark.parametrize("act", ["relu", "square", "abs"])
def test_an_exact_disc_answers_under_every_even_activation(act):
    assert swapped(trig_mlp(p=P, frequencies=(2, 3), act_fn=act), 0, 0) == {"abs": 1.0, "square": 1.0}


def with_neurons(view, rows, bias, out, b_U=None):
    """The same network with more neurons: what they read of either operand [p, more], their bias, what they write."""
    w = {name: t.double().numpy() for name, t in view.weights.items()}
    m = w["W_x"].shape[1] + rows.shape[1]
    weights = {name: np.concatenate([w[name], rows], axis=1) for name in ("W_x", "W_y")}
    weights |= {"W": np.concatenate([np.eye(m)] * 2), "W_U": np.concatenate([w["W_U"], out])}
    weights |= {"b_in": np.concatenate([np.zeros(m - len(bias)), bias])} | ({} if b_U is None else {"b_U": b_U})
    return ModelView(TwoEmbeddingMLP({n: torch.from_numpy(x).float() for n, x in weights.items()}), view.task)


def test_swaps_are_of_the_preactivation():
    """Two neurons that are 9 and -9 everywhere: ReLU gives 9, which a bias undoes; |x| and x^2 of them cancel."""
    first = np.eye(P)[:1]
    view = with_neurons(
        trig_mlp(p=P, frequencies=(2, 3)),
        np.zeros((P, 2)),
        [900.0, -900.0],
        np.concatenate([-first, first]),
        900 * first[0],
    )
    assert view.figures().accuracy.all == 1.0
    assert swapped(view, 0, 0) == {"abs": 1 / P, "square": 1 / P}


def test_a_square_weighs_strong_neurons_more():
    """Neurons four times as strong, with an eighth of the readout, against it: under ReLU they take half of the answer,
    under x^2 twice what there is.
    """
    own = trig_mlp(p=P, frequencies=(2, 3))
    rows, out = own.weights["W_x"].numpy(), own.weights["W_U"].numpy()
    view = with_neurons(own, 4 * rows, np.zeros(rows.shape[1]), -out / 8)
    assert view.figures().accuracy.all == 1.0
    assert swapped(view, 0, 0) == {"abs": 1.0, "square": 0.0}


def test_a_lookup_of_conjunctions_answers_under_them_too():
    """One neuron a pair, on where both operands are its own: so it is under any convex function, and shows no disc."""
    p = 7
    pairs = np.arange(p * p)
    rows = [(np.arange(p)[:, None] == pairs // p) * 1.0, (np.arange(p)[:, None] == pairs % p) * 1.0]
    out = 1.0 * (((pairs // p + pairs % p) % p)[:, None] == np.arange(p))
    weights = {"W_x": rows[0], "W_y": rows[1], "W": np.concatenate([np.eye(p * p)] * 2), "W_U": out}
    weights |= {"b_in": np.full(p * p, -1.5)}
    view = ModelView(TwoEmbeddingMLP({n: torch.from_numpy(w).float() for n, w in weights.items()}), f"add:{p}")
    assert swapped(view, 0, 0) == {"abs": 1.0, "square": 1.0}
