"""A run that others saved through its training: what its test curve shows first are flips of training pairs."""

from pathlib import Path

import numpy as np
import pytest
import torch

import detectors
from detectors.loading.layouts.two_embedding_mlp import TwoEmbeddingMLP
from detectors.subjects.operands.view import ModelView
from tests.judging.claims import false_claims

pytestmark = pytest.mark.external


def published_run(external: Path, step: int) -> ModelView:
    """a + b mod 23 by W_out relu(W_in (onehot a + onehot b)), saved through its training; see external/README.md."""
    folder, eye = external / "series" / "p23_relu_wd2", torch.eye(23)
    trained = torch.load(folder / "train_data.pth", weights_only=True)
    weights = torch.load(folder / f"{step}.pth", weights_only=True)["model"]
    mask = np.zeros(529, dtype=bool)
    mask[[int(a) * 23 + int(b) for a, b in trained]] = True
    hidden, out = weights["mlp.W_in"].float().T, weights["mlp.W_out"].float().T.contiguous()
    network = TwoEmbeddingMLP({"W_x": eye, "W_y": eye, "W": torch.cat([hidden, hidden]), "W_U": out})
    return ModelView(network, "add:23", train_mask=mask)


@pytest.mark.wide
@pytest.mark.parametrize(
    ("step", "train", "test", "unseen"),
    [
        (1600, 0.854, 0.271, 0.0),
        (2400, 1.0, 0.707, 0.0),
        (4000, 1.0, 0.707, 0.0),
        (8000, 1.0, 0.872, 0.564),
        (16000, 1.0, 0.977, 0.923),
        (49600, 1.0, 0.977, 0.923),
    ],
)
def test_what_a_published_test_curve_shows_first_are_echoes(external, step, train, test, unseen):
    found = detectors.run(published_run(external, step))
    accuracy = (found.accuracy.train, found.accuracy.test, found.accuracy.unseen)
    assert accuracy == pytest.approx((train, test, unseen), abs=6e-4)
    assert (found.pairs.echoed, found.pairs.unseen) == (94, 39)
    if unseen == 0:
        assert found["generalisation"].verdict == "absent"
        assert found["memorisation"].verdict == "present"
    if unseen > 0.9:
        assert found["generalisation"].verdict == "present"
        assert found["memorisation"].verdict == "absent"
    assert found["trig_logits"].verdict != "present"  # its spectrum is flat: it uses every frequency
    assert false_claims(found) == []
